import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.discovery.programs import is_go_program, program_name


@pytest.mark.parametrize(
    ("executable", "arguments", "name"),
    [
        ("/usr/sbin/nginx", "nginx: worker process", "nginx"),
        ("/usr/bin/python3.11", "/srv/venv/bin/python /srv/venv/bin/pyrover-backend serve", "pyrover-backend"),
        ("/usr/bin/python3.11", "python3 -u -X dev -m http.server 8000", "http.server"),
        ("/usr/bin/python3.11", "python3 -W error /srv/app.py --port 80", "app"),
        ("/usr/bin/python3.11", "python3 -c print(1)", "python3.11"),
        ("/usr/bin/python3.11", "python3", "python3.11"),
        ("/usr/bin/python3.11", "python3 -", "python3.11"),
        ("/usr/bin/python3.11", "python3 -m", "python3.11"),
        ("/usr/bin/node", "node --max-old-space-size=4096 -r dotenv/config dist/server.mjs", "server"),
        ("/usr/bin/node", "node -e 1+1", "node"),
        ("/usr/bin/perl", "perl -w /usr/bin/exiftool x.jpg", "exiftool"),
        ("/usr/bin/ruby3.1", "ruby -I lib bin/puma -p 80", "puma"),
        ("/usr/bin/php8.2", "php -d memory_limit=1G artisan serve", "artisan"),
        ("/usr/sbin/php-fpm8.2", "php-fpm: pool www", "php-fpm8.2"),
        ("/usr/lib/jvm/bin/java", "java -Xmx1g -cp lib/a.jar:lib/b.jar org.example.orders.Main --x", "Main"),
        ("/usr/lib/jvm/bin/java", "java -Dkey=value -jar /opt/orders/orders-1.2.jar", "orders-1.2"),
        ("/usr/bin/dash", "/bin/sh -e /etc/init.d/entry.sh start", "dash"),
        ("/usr/bin/dash", "/bin/sh /etc/init.d/entry.sh start", "entry"),
        ("/usr/bin/bash", "-bash", "bash"),
        ("", "anything", ""),
    ],
)
def test_the_name_of_a_program(executable: str, arguments: str, name: str) -> None:
    assert program_name(executable, arguments.split()) == name


@given(
    st.sampled_from(["/usr/bin/python3", "/usr/bin/java", "/usr/bin/php", "/usr/bin/node", "/opt/tool"]),
    st.lists(st.text(max_size=12), max_size=6),
)
def test_a_known_executable_always_has_a_name(executable: str, arguments: list[str]) -> None:
    name = program_name(executable, arguments)
    assert name
    assert "/" not in name


@pytest.mark.skipif(shutil.which("go") is None, reason="Go is not installed")
@pytest.mark.parametrize("flags", ["", "-s -w"])
def test_a_program_in_go_is_known_also_when_it_is_stripped(tmp_path: Path, flags: str) -> None:
    (tmp_path / "main.go").write_text("package main\nfunc main() {}\n")
    program = tmp_path / "main"
    environment = {**os.environ, "GO111MODULE": "off", "GOCACHE": str(tmp_path / "cache")}
    command = ["go", "build", "-ldflags", flags, "-o", str(program), str(tmp_path / "main.go")]
    subprocess.run(command, env=environment, check=True, cwd=tmp_path)
    assert is_go_program(str(program))


def test_other_programs_are_not_in_go(tmp_path: Path) -> None:
    assert not is_go_program(sys.executable)
    assert not is_go_program("/etc/passwd")
    assert not is_go_program(str(tmp_path / "gone"))
