"""A stand-in for Smartcar API v3 on the wire, with a fleet of cars behind it.

Reading order: `physics` (one battery), `makes`, `lives` (when cars come and go),
`cars`, `fleet` (all of them through time), `faults`, `limits`, `calls`, `webhooks`
(what happens around them), `world` (everything in one), `wire` (JSON shapes),
`smartcar` and `control` (the two faces), `protocol`, `server` (HTTP and the process).
It knows neither the database nor Django.
"""
