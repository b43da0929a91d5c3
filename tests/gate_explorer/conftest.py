"""Makes the fixtures of ``small_models`` available to all tests of the explorer."""

from tests.gate_explorer.small_models import lstm_observation as lstm_observation
