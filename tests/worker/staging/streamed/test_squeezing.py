"""Compression where it pays."""

from __future__ import annotations

import os
import zlib

from jobferry_worker.staging.streamed import archive
from jobferry_worker.staging.streamed.squeezing import PLAIN, SQUEEZED, Squeezing

TEXT = b"1.0000 2.0000 3.0000\n" * 10_000
NOISE = os.urandom(200_000)


def test_text_is_compressed() -> None:
    flag, wire = Squeezing(wanted=True).of(TEXT)
    assert (flag, zlib.decompress(wire, 31)) == (SQUEEZED, TEXT)


def test_noise_small_contents_and_what_is_not_wanted_stay_as_they_are() -> None:
    assert Squeezing(wanted=True).of(NOISE) == (PLAIN, NOISE)
    assert Squeezing(wanted=True).of(TEXT[:1000]) == (PLAIN, TEXT[:1000])
    assert Squeezing(wanted=False).of(TEXT) == (PLAIN, TEXT)


def test_a_start_of_another_kind_misleads_nobody() -> None:
    content = bytes(60_000) + os.urandom(1_000_000)
    assert Squeezing(wanted=True).of(content)[0] == PLAIN


def test_noise_in_an_archive_of_many_directories_is_noise() -> None:
    names = b"".join(archive.directory(f"task-{number}") for number in range(180))
    header = archive.header(b"task-0/in", size=4000)
    members = b"".join(header + archive.padded(os.urandom(4000)) for _ in range(1000))
    assert Squeezing(wanted=True).of(names + members)[0] == PLAIN


def test_noise_is_not_taken_for_less_because_it_is_looked_at_twice() -> None:
    assert not Squeezing(wanted=True).pays(os.urandom(1 << 14))


def test_a_link_that_is_faster_than_the_compressor_gets_the_data_as_it_is() -> None:
    squeezing = Squeezing(wanted=True)
    squeezing.note(1 << 20, 0.0)  # swallowed by buffers: nothing is known yet
    assert squeezing.pays(TEXT)
    squeezing.note(100 << 20, 0.5)
    assert not squeezing.pays(TEXT)
    squeezing.note(100 << 20, 100.0)
    assert squeezing.pays(TEXT)


def test_small_pieces_make_a_sample_together() -> None:
    squeezing = Squeezing(wanted=True)
    for _ in range(100):
        squeezing.look(b"1.0000 2.0000\n" * 20)
    assert squeezing.pays(squeezing.sample)
