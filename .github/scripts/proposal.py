"""Import what is new upstream, and leave what a pull request of it needs: the workflow `import` calls this.

    python .github/scripts/proposal.py FOLDER

writes new.patch, title.txt and body.md into FOLDER if there are new rows, and prints `new=true` or `new=false`. What upstream
wrote stands in the body, and in the job's summary, as indented text, where nothing is Markdown, HTML or a mention. Where
nothing is new and rows wait for a maintainer the exit status is 1, so that the run fails and GitHub tells of it.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from commits import Unusable, git, shown
from written import BOARD, BOARD_FOLDER, ENVIRONMENTS, RECORDS, harness

MOST_BODY = 50_000  # characters; GitHub takes 65,536
WORDS = """\
New rows of the upstream repository, as `speedrun import --upstream` reads them at commit {commit}.

This pull request was opened by a workflow, so no checks start by themselves: close and reopen it to start them. They import
the same rows again and compare every byte. What is left out below waits for a maintainer, who says with `--own` which runs
are a row's own, in a pull request of their own (the workflow writes the branch of this one anew); see docs/records.md.

"""


def main(folder: Path) -> int:
    """Import, write the board, and describe the changes."""
    here = Path.cwd()
    status, said, told = harness(here, "import", "--upstream", "--json")
    if status not in (0, 1):  # 1: some rows are left out
        print(shown(told), file=sys.stderr)
        return 1
    plan = json.loads(said)
    names = [new["name"] for new in plan["new"]]
    text = listed(plan)
    print(f"new={'true' if names else 'false'}")
    print(text, shown(told), sep="\n", file=sys.stderr)
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with open(summary, "a", encoding="utf-8") as file:
            file.write(f"Upstream at commit {plan['commit']}:\n\n{text or '    nothing is new'}\n")
    if not names:
        return 1 if plan["left_out"] else 0
    status, _, told = harness(here, "board")
    if status != 0:
        print(shown(told), file=sys.stderr)
        return 1
    git("add", "--all", "--", RECORDS, BOARD, BOARD_FOLDER, ENVIRONMENTS)
    folder.mkdir()
    (folder / "new.patch").write_bytes(git("diff", "--cached", "--binary", "HEAD"))
    few = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    (folder / "title.txt").write_text(f"Import {few} from upstream\n", encoding="utf-8")
    (folder / "body.md").write_text(f"{WORDS.format(commit=plan['commit'])}{text}\n", encoding="utf-8")
    return 0


def listed(plan: dict[str, Any]) -> str:
    """Say what is new, left out and different, a line each, indented."""
    lines = [f"new: {new['name']}: {new['record']['title']}" for new in plan["new"]]
    lines += [f"  {remark}" for new in plan["new"] for remark in new["remarks"]]
    lines += [
        f"left out: {left['where']} {left['name'] or ''}: {left['what']}; {left['todo']}" for left in plan["left_out"]
    ]
    lines += [
        f"differs: {d['name']}: {d['what']}: {d['here']} here, {d['upstream']} upstream" for d in plan["differences"]
    ]
    return "\n".join(f"    {shown(' '.join(line.split()))}" for line in lines)[:MOST_BODY]


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        sys.exit(2)
    try:
        sys.exit(main(Path(sys.argv[1])))
    except Unusable as error:
        print(error, file=sys.stderr)
        sys.exit(1)
