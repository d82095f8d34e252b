"""Decoding processes under attack: real processes that are killed, hang, lie and crash, and what is left afterwards."""

from __future__ import annotations

import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from dicom_bench import Bench, largest_error, plant, save
from dicom_cases_codecs import compress, jpeg_2000, rle
from pydicom.uid import HTJ2KLossless, JPEG2000Lossless

from audit_pipeline.errors import IncompleteSeriesError, LoadError, PixelDataError
from audit_pipeline.load import codec_pool, deliver, find_studies
from audit_pipeline.load.codec_pool import CodecPool, CompressedFrame
from audit_pipeline.load.codec_worker import MEMORY_BYTES

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the tests look at processes in /proc")
REPOSITORY = Path(__file__).parents[2]
SMALL = np.arange(63, dtype="u2").reshape(7, 9)


def frame_of(stored: np.ndarray, family: str = "jpeg_2000") -> CompressedFrame:
    encode = {"jpeg_2000": jpeg_2000, "jpeg_ls": imagecodecs.jpegls_encode, "rle": rle}[family]
    content = bytes(encode(stored))
    return CompressedFrame(family=family, content=content, expected_bytes=stored.nbytes, dtype=stored.dtype.str)


def with_tiles(stored: np.ndarray, *grid: int) -> CompressedFrame:
    """Return an HTJ2K frame with another tile grid: XTsiz, YTsiz, XTOsiz, YTOsiz (ISO/IEC 15444-1, A.5.1)."""
    content = bytearray(imagecodecs.htj2k_encode(stored))
    struct.pack_into(">4I", content, 24, *grid)
    return CompressedFrame(family="htj2k", content=bytes(content), expected_bytes=stored.nbytes, dtype="<u2")


NO_TILES = (0, 7, 0, 0)
"""OpenJPH 0.26.3 divides by the width of a tile: its process dies of SIGFPE."""
TILES_FAR_AWAY = (65_542, 255, 0xFF00_0000, 0)
"""OpenJPH 0.26.3 counts tiles from here to the image without end."""


@cache
def slow() -> tuple[np.ndarray, CompressedFrame]:
    """Return a picture of noise that takes most of a second to decode."""
    stored = np.random.default_rng(0).integers(0, 65_535, (2400, 2400), dtype="u2")
    return stored, frame_of(stored)


@pytest.fixture
def pool():
    made = CodecPool()
    yield made
    made.close()


def decoded(pool: CodecPool, stored: np.ndarray = SMALL, **limits) -> np.ndarray:
    return pool.decode(frame_of(stored), stored.nbytes, **limits)


def children() -> dict[int, str]:
    """Return the state of every child process by its number."""
    found = {}
    for thread in Path("/proc/self/task").iterdir():
        # threads and processes may end while they are being counted
        with suppress(OSError):
            for number in (thread / "children").read_text().split():
                with suppress(OSError):
                    found[int(number)] = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    return found


def workers() -> list[int]:
    found = []
    for process in children():
        with suppress(OSError):
            if b"codec_worker" in Path(f"/proc/{process}/cmdline").read_bytes():
                found.append(process)
    return found


def new_workers(before: list[int]) -> list[int]:
    return [one for one in workers() if one not in before]


def is_there(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def waited(holds, seconds: float = 10.0) -> bool:
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.01)
    return holds()


def limits_of(process: int) -> dict[str, str]:
    lines = Path(f"/proc/{process}/limits").read_text().splitlines()[1:]
    return {line[:25].strip(): line[25:].split()[1] for line in lines}


# what a frame can do to its process


def test_a_frame_that_takes_too_long_is_refused_and_the_next_is_decoded(pool):
    stored, frame = slow()
    with pytest.raises(PixelDataError, match=r"took longer than 0\.05 s"):
        pool.decode(frame, stored.nbytes, seconds=0.05)
    np.testing.assert_array_equal(decoded(pool), SMALL)


def test_a_frame_that_keeps_its_codec_busy_without_end_is_refused_and_the_next_is_decoded(pool):
    with pytest.raises(PixelDataError, match="took longer than 1 s"):
        pool.decode(with_tiles(SMALL[:5, :6], *TILES_FAR_AWAY), 60, seconds=1.0)
    np.testing.assert_array_equal(decoded(pool), SMALL)


def kill_new(before: list[int], after: float = 0.0) -> None:
    """Kill the next worker that appears, once it has had time to begin."""
    assert waited(lambda: new_workers(before))
    time.sleep(after)
    for one in new_workers(before):
        os.kill(one, signal.SIGKILL)


def test_a_process_killed_while_it_decodes_its_first_frame_costs_that_frame_and_no_other(pool):
    stored, frame = slow()
    killer = threading.Thread(target=kill_new, args=(workers(),))
    killer.start()
    with pytest.raises(PixelDataError, match="ended while it read them"):
        pool.decode(frame, stored.nbytes)
    killer.join()
    np.testing.assert_array_equal(decoded(pool), SMALL)


def test_a_used_process_killed_while_it_decodes_costs_no_frame(pool):
    stored, frame = slow()
    before = workers()
    decoded(pool)
    (victim,) = new_workers(before)
    timer = threading.Timer(0.15, os.kill, (victim, signal.SIGKILL))
    timer.start()
    np.testing.assert_array_equal(pool.decode(frame, stored.nbytes), stored)
    timer.join()
    assert victim not in workers()


def test_a_frame_that_crashes_its_codec_costs_its_frame_and_no_other(pool):
    decoded(pool)
    with pytest.raises(PixelDataError):
        pool.decode(with_tiles(SMALL, *NO_TILES), 126)
    np.testing.assert_array_equal(decoded(pool), SMALL)


def test_a_process_killed_while_it_waits_is_replaced_without_a_word(pool):
    before = workers()
    decoded(pool)
    (victim,) = new_workers(before)
    os.kill(victim, signal.SIGKILL)
    os.waitid(os.P_PID, victim, os.WEXITED | os.WNOWAIT)
    np.testing.assert_array_equal(decoded(pool), SMALL)


def test_a_stopped_process_is_ended_when_its_time_is_over(pool):
    before = workers()
    decoded(pool)
    os.kill(*new_workers(before), signal.SIGSTOP)
    with pytest.raises(PixelDataError, match="took longer"):
        decoded(pool, seconds=0.3)
    np.testing.assert_array_equal(decoded(pool), SMALL)


def test_a_frame_that_announces_a_huge_picture_gets_no_memory(pool):
    content = bytearray(jpeg_2000(np.zeros((16, 16), "u2")))
    struct.pack_into(">8I", content, 8, 60_000, 60_000, 0, 0, 60_000, 60_000, 0, 0)
    frame = CompressedFrame(family="jpeg_2000", content=bytes(content), expected_bytes=512, dtype="<u2")
    before = workers()
    with pytest.raises(PixelDataError):
        pool.decode(frame, 512)
    for process in new_workers(before):
        peak = next(one for one in Path(f"/proc/{process}/status").read_text().splitlines() if "VmHWM" in one)
        assert int(peak.split()[1]) < 2**20  # kB
    np.testing.assert_array_equal(decoded(pool), SMALL)


def test_more_samples_than_announced_are_not_taken_over(pool):
    stored = np.zeros((64, 64), "u2")
    with pytest.raises(PixelDataError):
        pool.decode(frame_of(stored), SMALL.nbytes)
    np.testing.assert_array_equal(decoded(pool), SMALL)


@pytest.mark.parametrize("family", ["jpeg", "jpeg_ls", "jpeg_2000", "htj2k", "rle"])
def test_junk_is_refused_by_every_codec_and_its_process_lives_on(family, pool):
    before = workers()
    for content in (b"", b"\xff", b"\xff\xd8\xff\xd9", bytes(100), b"\xff\x4f\xff\x51" * 30):
        frame = CompressedFrame(family=family, content=content, expected_bytes=126, dtype="<u2")
        with pytest.raises(PixelDataError, match="refuses them"):
            pool.decode(frame, 126)
        np.testing.assert_array_equal(decoded(pool), SMALL)
    assert len(new_workers(before)) == 1


# what a process can do to its caller

ANSWERS = {
    "no JSON": b"hello\n",
    "no line": b"{" * 5000,
    "nothing": b"",
    "a list": b"[1, 2]\n",
    "a number": b"7\n",
    "no shape": b'{"number": 1, "dtype": "<u2"}\n',
    "another type": b'{"number": 1, "dtype": "<f8", "shape": [7, 9]}\n' + bytes(504),
    "objects": b'{"number": 1, "dtype": "O", "shape": [7, 9]}\n' + bytes(504),
    "too many samples": b'{"number": 1, "dtype": "<u2", "shape": [7000, 9000]}\n' + bytes(126),
    "negative sizes": b'{"number": 1, "dtype": "<u2", "shape": [-7, -9]}\n' + bytes(126),
    "sizes that are text": b'{"number": 1, "dtype": "<u2", "shape": "79"}\n' + bytes(126),
    "sizes that are no whole numbers": b'{"number": 1, "dtype": "<u2", "shape": [6.3, 10.0]}\n' + bytes(126),
    "too few bytes": b'{"number": 1, "dtype": "<u2", "shape": [7, 9]}\n' + bytes(100),
    "sizes that are truths": b'{"number": 1, "dtype": "<u2", "shape": [true, 63]}\n' + bytes(126),
    "no sizes": b'{"number": 1, "dtype": "<u2", "shape": []}\n' + bytes(126),
    "no number": b'{"dtype": "<u2", "shape": [7, 9]}\n' + bytes(126),
    "the answer to another frame": b'{"number": 2, "dtype": "<u2", "shape": [7, 9]}\n' + bytes(126),
    "deep nesting": b"[" * 4000 + b"\n",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_nonsense_from_a_process_is_a_refusal_and_the_process_is_not_asked_again(answer, tmp_path, monkeypatch, pool):
    program = tmp_path / "liar.py"
    program.write_text(
        "import sys\n"
        "sys.stdin.buffer.readline()\n"
        f"sys.stdout.buffer.write({answer!r})\n"
        "sys.stdout.buffer.flush()\n"
        f"{'sys.stdin.buffer.read()' if len(answer) > 200 or b'shape' not in answer else ''}\n"
    )
    with monkeypatch.context() as patched:
        patched.setattr(codec_pool, "_WORKER", program)
        with pytest.raises(PixelDataError):
            decoded(pool, seconds=0.6)
    assert pool._idle.empty()


def test_an_interrupted_call_leaves_no_answer_behind_for_the_next(pool):
    """Otherwise the next frame of the same size is shown with the pixels of the interrupted one."""
    stored, frame = slow()
    other = np.zeros_like(stored)
    decoded(pool)

    def interrupt(*_):
        raise KeyboardInterrupt

    handler = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.15)
        with pytest.raises(KeyboardInterrupt):
            pool.decode(frame, stored.nbytes)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    np.testing.assert_array_equal(decoded(pool, other), other)


# threads, forks, ends


def test_many_threads_get_their_own_pixels(pool):
    pictures = [np.full((40, 50), number, "u2") + np.arange(50, dtype="u2") for number in range(64)]
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda one: decoded(pool, one), pictures))
    for picture, one in zip(pictures, found, strict=True):
        np.testing.assert_array_equal(one, picture)


def test_threads_keep_no_more_processes_than_they_are(pool):
    before = workers()
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(lambda _: decoded(pool), range(30)))
    assert len(new_workers(before)) <= 3


FORKING = """
import os
import numpy as np
from audit_pipeline.load.codec_pool import CodecPool, CompressedFrame
import imagecodecs

picture = np.arange(48, dtype=np.uint16).reshape(6, 8)
frame = CompressedFrame(
    family="jpeg_ls", content=imagecodecs.jpegls_encode(picture), expected_bytes=picture.nbytes, dtype="<u2"
)
pool = CodecPool()
assert np.array_equal(pool.decode(frame, picture.nbytes), picture)
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(pool.decode(frame, picture.nbytes), picture) else 2)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert np.array_equal(pool.decode(frame, picture.nbytes), picture)
pool.close()
"""


def test_a_forked_child_starts_its_own_process_and_leaves_that_of_its_parent():
    # in a program without other threads: a fork inherits their locks
    subprocess.run([sys.executable, "-c", FORKING], check=True, timeout=60)


def test_a_closed_pool_leaves_neither_process_nor_zombie(pool):
    before = set(children())
    for _ in range(2):
        decoded(pool)
        with pytest.raises(PixelDataError):
            pool.decode(slow()[1], slow()[0].nbytes, seconds=0.05)
    decoded(pool)
    pool.close()
    assert set(children()) <= before


PROGRAM = """
import os, signal, sys
import numpy as np
from pathlib import Path
from audit_pipeline.load.codec_pool import POOL, CompressedFrame
content = Path(sys.argv[1]).read_bytes()
frame = CompressedFrame(family="jpeg_2000", content=content, expected_bytes=126, dtype="<u2")
found = POOL.decode(frame, 126)
print(Path("/proc/self/task", str(os.getpid()), "children").read_text(), int(found.sum()), flush=True)
"""


def run_program(tmp_path: Path, ending: str = "", beginning: str = "") -> tuple[int, list[int], str]:
    (tmp_path / "frame").write_bytes(jpeg_2000(SMALL))
    command = [sys.executable, "-c", beginning + PROGRAM + ending, str(tmp_path / "frame")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, cwd=REPOSITORY)
    *processes, total = [int(one) for one in done.stdout.split()] or [-1]
    assert total == SMALL.sum(), done.stderr[-1000:]
    return done.returncode, processes, done.stderr


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("", 0),
        ("sys.exit(3)", 3),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15),
    ],
)
def test_no_process_outlives_its_program_however_that_ends(ending, code, tmp_path):
    found, processes, _ = run_program(tmp_path, ending)
    assert found == code
    assert len(processes) == 1
    assert waited(lambda: not is_there(processes[0]))


def test_a_program_with_little_memory_can_decode(tmp_path):
    """Batch systems limit the memory of a job; a limit that may not be raised is no damage of the file."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (4 * 2**30, 4 * 2**30))\n"
    assert run_program(tmp_path, beginning=limit)[0] == 0


# confinement


def test_a_process_has_no_files_but_its_pipes_and_may_make_none(tmp_path, pool):
    with (tmp_path / "secret").open("w") as secret:
        os.set_inheritable(secret.fileno(), True)
        before = workers()
        decoded(pool)
        (process,) = new_workers(before)
        held = {str(one.readlink()) for one in Path(f"/proc/{process}/fd").iterdir()}
    assert str(tmp_path / "secret") not in held
    assert all(one.startswith("pipe:") or one == os.devnull for one in held)
    found = limits_of(process)
    assert found["Max file size"] == "0"
    assert found["Max core file size"] == "0"
    assert found["Max open files"] == "0"
    assert int(found["Max address space"]) < MEMORY_BYTES + 2 * 2**30


def confined(code: str, tmp_path: Path) -> subprocess.CompletedProcess[str]:
    program = "from audit_pipeline.load.codec_worker import confine\nimport os\nconfine()\n" + code
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False, cwd=tmp_path,
        env=environment,
    )  # fmt: skip


def test_what_is_confined_cannot_write_a_file(tmp_path):
    done = confined("os.write(os.open('left', os.O_CREAT | os.O_WRONLY), b'x' * 10)", tmp_path)
    assert "OSError" in done.stderr or done.returncode == -signal.SIGXFSZ
    assert not (tmp_path / "left").exists() or (tmp_path / "left").stat().st_size == 0


def test_what_is_confined_dumps_no_core(tmp_path):
    done = confined("os.abort()", tmp_path)
    assert done.returncode == -signal.SIGABRT
    assert not list(tmp_path.iterdir())


def test_what_is_confined_gets_no_more_memory(tmp_path):
    done = confined(f"bytearray({MEMORY_BYTES} + 2**28)", tmp_path)
    assert "MemoryError" in done.stderr


# through the loader


def test_one_study_that_crashes_its_codec_costs_one_refusal_and_the_run_goes_on(tmp_path):
    for number in range(3):
        slices = Bench(count=3, series_uid=f"2.25.7.{number}", study_uid=f"2.25.7{number}").slices()
        for data in slices:
            stored = plant(data, dtype="u2")
            if number == 1 and data is slices[1]:
                compress(data, with_tiles(stored, *NO_TILES).content, HTJ2KLossless)
            else:
                compress(data, bytes(imagecodecs.htj2k_encode(stored)), HTJ2KLossless)
        save(tmp_path / str(number), slices)
    deliveries = [deliver(source) for source in find_studies([tmp_path])]
    assert [one.study is None for one in deliveries] == [False, True, False]
    assert isinstance(deliveries[1].error, IncompleteSeriesError)
    assert {one.code for one in deliveries[1].refusals} == {"PixelDataError", "IncompleteSeriesError"}
    assert len(deliveries[1].files) == 3
    assert all(largest_error(deliveries[number].study.images[0]) < 0.02 for number in (0, 2))


def test_a_study_whose_used_decoder_is_killed_from_outside_is_delivered(tmp_path):
    stored, frame = slow()
    (data,) = Bench(count=1).slices()
    data.Rows, data.Columns = stored.shape
    compress(data, frame.content, JPEG2000Lossless)
    save(tmp_path, [data])
    codec_pool.POOL.decode(frame_of(SMALL), SMALL.nbytes)
    victims = workers()
    timer = threading.Timer(0.15, lambda: [os.kill(one, signal.SIGKILL) for one in victims])
    timer.start()
    (source,) = find_studies([tmp_path])
    assert deliver(source).study is not None
    timer.join()
    assert not set(victims) & set(workers())


def test_a_process_is_told_nothing_of_the_environment_but_where_its_libraries_are(monkeypatch, pool):
    monkeypatch.setenv("AUDIT_SECRET", "x")
    before = workers()
    decoded(pool)
    (process,) = new_workers(before)
    assert b"AUDIT_SECRET" not in Path(f"/proc/{process}/environ").read_bytes()


def test_a_refusal_of_a_codec_names_the_reason_and_the_remedy(pool):
    frame = CompressedFrame(family="jpeg_ls", content=b"\xff\xd8\xff\xd9", expected_bytes=126, dtype="<u2")
    with pytest.raises(LoadError) as caught:
        pool.decode(frame, 126)
    assert "damaged" in str(caught.value)
    assert "transfer the file again" in str(caught.value)


def test_this_program_itself_keeps_its_limits():
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
