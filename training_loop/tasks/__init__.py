"""What a run learns: its sequences, what the model should answer, and how answers are measured."""
