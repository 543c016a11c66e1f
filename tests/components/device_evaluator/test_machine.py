from __future__ import annotations

import pathlib
import platform

from components.device_evaluator.machine import machine_name


def test_the_kernel_names_the_processor(tmp_path: pathlib.Path) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("processor\t: 0\nmodel name\t: Quick CPU @ 2 GHz\n\nprocessor\t: 1\nmodel name\t: other\n")
    assert machine_name(info).startswith("Quick CPU @ 2 GHz, ")
    assert " core" in machine_name(info)


def test_without_its_word_the_architecture_has_to_do(tmp_path: pathlib.Path) -> None:
    name = machine_name(tmp_path / "nothing")
    assert name.startswith((platform.processor() or platform.machine()) + ", ")
