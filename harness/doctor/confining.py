"""Report how a run would be confined here, and how to get a better tier."""

import sys

from harness.catalog.lookup import Catalog
from harness.core.errors import MachineError
from harness.doctor.wanted import ReportLine, Wanted
from harness.launch import confinement, landlock
from harness.store.layout import cache_folder

BETTER = (
    "`apt install bubblewrap`; if it cannot make namespaces: `sysctl kernel.unprivileged_userns_clone=1 "
    "kernel.apparmor_restrict_unprivileged_userns=0`, and in a container start that with "
    "`--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined`"
)


def tier(catalog: Catalog, wanted: Wanted | None) -> ReportLine:
    """Report the strongest tier that works with the harness's own interpreter."""
    folder = catalog.project.runs / "doctor"
    hidden = (catalog.project.root, cache_folder())
    view = confinement.View(folder, (), (), (), hidden, network=False, python=sys.executable)
    try:
        found = confinement.choose(view)
    except MachineError as error:
        return ReportLine("confinement", "red", str(error), BETTER)
    version = f" {found.version}" if found.version else ""
    if found.tier == "bubblewrap":
        return ReportLine("confinement", "green", f"bubblewrap{version}")
    if found.tier == "landlock":
        gaps = landlock.open_points(landlock.abi())
        said = f"Landlock{version}, every capability given up{', as a user of its own' if found.user else ''}"
        left = "; ".join(("network, /dev/shm and the list of processes are shared", *gaps))
        return ReportLine("confinement", "yellow", f"{said}; {left}", BETTER)
    accepted = wanted is None or not wanted.track.rulesets[-1].tiers or "none" in wanted.track.rulesets[-1].tiers
    said = "none: a script has your rights and can reach its own evidence"
    return ReportLine("confinement", "yellow" if accepted else "red", said, BETTER)
