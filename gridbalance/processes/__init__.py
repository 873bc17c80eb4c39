"""The house of running processes: start, tend and stop all of one data folder.

    with Supervisor(data_dir) as house:
        house.start_services()
        house.run_manage("migrate")
        house.start(manage("simulator", "simulator", "--port", "9000"))
        house.start(web(house.port("web", wish=8000)))
        house.start(beat(data_dir), worker("control"), worker("fanout", processes=2))
        house.watch()

What is started together is stopped together, the last first; the embedded servers
are the very last. A child that dies is started again. One supervisor a data folder:
a lock says so. When the supervisor itself is killed, a guardian - a small process
that waits for the end of a pipe - ends everything in the same order; and when the
guardian is killed too, the next supervisor does, from the records of both.
"""

from gridbalance.processes.kinds import Process, beat, manage, web, worker
from gridbalance.processes.leftovers import AlreadyRunning
from gridbalance.processes.supervisor import ProcessFailed, Supervisor

__all__ = [
    "AlreadyRunning",
    "Process",
    "ProcessFailed",
    "Supervisor",
    "beat",
    "manage",
    "web",
    "worker",
]
