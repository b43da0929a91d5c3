"""Find the line that is wrong, and prove it by an intervention.

The user's module runs while every tensor operation is recorded with its line (``recorder``). It
then runs again with the result of one operation replaced by a term of torch.nn's equations
(``terms``), for one operation after another (``search``). If the module then returns torch.nn's
values at every step, for several random states, that operation is where the mistake is.
``formulas`` finds what the operation computes instead, ``source`` the statement in the file.
"""
