"""`rk plugins test`: the kit as a command."""

from __future__ import annotations

from rk.errors import ExitCode


def test_it_prints_each_check_and_what_it_came_to(rk):
    done = rk("plugins", "test", "rk-pointer-net", "--only", "typed")
    assert done.code == ExitCode.OK, done.out + done.err
    assert "ok      component is typed and documented: model pointer-net" in done.out
    assert done.out.splitlines()[-1] == "pointer-net: 4 checks passed, 0 failed, 0 not applicable"


def test_an_unknown_plugin_is_the_users_mistake(rk):
    done = rk("plugins", "test", "pointer-nat")
    assert done.code == ExitCode.USER_ERROR and "did you mean pointer-net?" in done.err


def test_a_run_without_checks_is_not_a_success(rk):
    done = rk("plugins", "test", "pointer-net", "--only", "no-such-check")
    assert done.code == ExitCode.FAILED and "no check was run" in done.out
