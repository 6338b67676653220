"""Row 9: what a network does to the workers' connections."""

from __future__ import annotations

import time
from collections.abc import Callable

from faults.client import Client, Job
from faults.judge import Expected
from faults.proxy import Proxy
from faults.run import Run, scenario
from faults.site import Site
from support.clean import wait_until


def refuse(proxy: Proxy) -> None:
    """Refuse connections for five seconds."""
    proxy.refuse()
    time.sleep(5)
    proxy.listen()


def black_hole(proxy: Proxy) -> None:
    """Let everything vanish for six seconds, and nobody hear of it."""
    proxy.lose("up", "down")
    time.sleep(6)
    proxy.heal()


def no_way_up(proxy: Proxy) -> None:
    """Let what workers say vanish for six seconds."""
    proxy.lose("up")
    time.sleep(6)
    proxy.heal()


def no_way_down(proxy: Proxy) -> None:
    """Let what workers hear vanish for six seconds: the server has done what they do not know of."""
    proxy.lose("down")
    time.sleep(6)
    proxy.heal()


FAULTS: dict[str, Callable[[Proxy], None]] = {
    "reset": Proxy.reset,
    "refuse": refuse,
    "black hole": black_hole,
    "lost on the way up": no_way_up,
    "lost on the way down": no_way_down,
}


@scenario("9", "network: reset, refuse, black hole, one-way loss")
def network(run: Run) -> None:
    # The lease is longer than the silences, so that nothing may start twice.
    with run.deployed(2, proxied=True, lease=10.0) as (site, client):
        gate = run.folder / "gate"
        held = client.submit("hold", {"gate": str(gate)})
        wait_until(lambda: site.starts(held.task_id), "it starts")
        for name, fault in FAULTS.items():
            took = strike(site, client, fault)
            run.note(f"{name}: serving again after {took:.1f} s")
            run.demand(took <= 15, f"{name}: serving again after {took:.1f} s, not 15 s")
        gate.touch()
        # An entry handed out into a broken connection comes back when its consumer's name is retired, unstarted.
        run.judge(site, client, Expected(extra_starts=0))
        run.row.kills = f"{len(FAULTS)} breaks"
        run.demand(len(site.starts(held.task_id)) == 1, "a running task was started again")


def strike(site: Site, client: Client, fault: Callable[[Proxy], None]) -> float:
    """Break the network under load; returns the seconds after it until all that was submitted has started."""
    assert site.proxy is not None
    client.submit_all([Job("work", {"seconds": 0.02})] * 40)
    fault(site.proxy)
    healed = time.time()
    last = client.submit_all([Job("work")] * 10)
    wait_until(lambda: all(site.starts(made.task_id) for made in last), "tasks start again", patience=60)
    return max(0.0, max(site.starts(made.task_id)[0].at for made in last) - healed)
