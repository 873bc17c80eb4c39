"""A whole evening on one machine: fleet, grid system, event, restore, report.

Nothing here is known to the rest: the demo is a provider's stand-in on the wire, a grid
system that speaks REST, and an operator's login, all from outside.
"""
