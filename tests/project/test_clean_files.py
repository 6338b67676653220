from __future__ import annotations

import re
from pathlib import Path

from project.tree import ROOT, own_files

#: The only hosts that files of this project may name: examples, loopback, and where specifications live.
HOSTS = {
    "127.0.0.1",
    "docs.docker.com",
    "docs.python.org",
    "example.com",
    "example.org",
    "keepachangelog.com",
    "localhost",
    "semver.org",
    "www.iana.org",
    "www.rfc-editor.org",
    "www.w3.org",
    # Names that only tests of ours know.
    "ada",
    "bucket",
    "busy",
    "h",
    "host",
    "other",
    "own",
    "x",
    # Webhooks that are refused, and such as are taken and never sent to.
    "0x7f.1",
    "10.0.0.1",
    "127",
    "2130706433",
    "Hooks.example.com",
    "hooks.example.com",
}
URL = re.compile(r"\b(?:https?|s?ftp|git\+\w+)://(?:[^@/\s\"'`{}]*@)?([A-Za-z0-9.-]*[A-Za-z0-9])")
INDEX = re.compile(r"^\s*(?:--?[\w-]*index-url|--find-links|-f|-i|--trusted-host)[ =]\S", re.MULTILINE)
#: /home/me is nobody: tests make it up.
MACHINE_PATH = re.compile(r"(?<![\w./~-])(?!/home/me\b)/(?:home|Users|root|work|workspace|builds)/[\w.-]+")


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in own_files():
        try:
            found.append((path.relative_to(ROOT), path.read_text()))
        except UnicodeDecodeError:
            continue  # a picture or a table in binary form names no host
    assert len(found) > 50
    return found


def test_no_file_names_a_host_beside_the_allowed_ones() -> None:
    hosts = {(str(name), host) for name, text in texts() for host in URL.findall(text)}
    foreign = {
        (name, host)
        for name, host in hosts
        if host not in HOSTS and not host.endswith((".test", ".example", ".invalid"))
    }
    assert foreign == set()
    assert any(host == "localhost" for _, host in hosts)


def test_no_file_has_an_index_line() -> None:
    assert INDEX.search("--extra-" + "index-url somewhere")
    assert [str(name) for name, text in texts() if INDEX.search(text)] == []


def test_no_file_names_a_path_of_a_machine() -> None:
    assert MACHINE_PATH.search("see /" + "home/someone/project")
    assert {str(name): MACHINE_PATH.findall(text) for name, text in texts() if MACHINE_PATH.search(text)} == {}


def test_no_lock_file_of_a_tool_is_kept() -> None:
    assert [str(path) for path in own_files(".lock")] == []


def test_files_end_with_one_newline_and_have_no_tabs_or_trailing_spaces() -> None:
    for name, text in texts():
        if name.suffix not in {".py", ".md", ".toml", ".yaml", ".lua", ".txt"} or not text:
            continue
        assert re.search(r"[^\n]\n\Z", text), name
        spaced = [number for number, line in enumerate(text.splitlines(), 1) if line != line.rstrip() or "\t" in line]
        assert spaced == [], name
