"""Files of one's own, held to what other programs write and read: wfdb, pandas, NumPy, SciPy and edfio."""

import os
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import wfdb
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgcourse import own_files, signals
from ecgcourse.errors import DataError, EcgCourseError, EcgCourseWarning, SettingError
from ecgcourse.records.ptbxl import LEADS

FS, N = 250, 2000


@pytest.fixture(autouse=True)
def no_warnings():
    with warnings.catch_warnings(action="error", category=EcgCourseWarning):
        yield


@pytest.fixture(scope="session")
def x():
    """Twelve leads of steps of 1 µV, (12, N) in mV: a sharp wave each 0.8 s on some noise."""
    t = np.arange(N) / FS
    waves = np.exp(-(((t % 0.8 - 0.4) / 0.02) ** 2))
    sizes = np.linspace(-1.5, 2, 12)[:, None]
    return np.round((sizes * waves + 0.02 * np.random.default_rng(5).standard_normal((12, N))) * 1000) / 1000


def write_wfdb(folder, x, name="rec", leads=LEADS, fs=FS, fmt="16", units="mV", comments=(), gain=1000.0):
    digital = np.rint(x.T * 1000).astype(int)
    n = len(leads)
    wfdb.wrsamp(
        name,
        fs=fs,
        units=[units] * n,
        sig_name=list(leads),
        d_signal=digital,
        fmt=[fmt] * n,
        adc_gain=[gain] * n,
        baseline=[0] * n,
        comments=list(comments),
        write_dir=str(folder),
    )
    return folder / f"{name}.hea"


def write_challenge(folder, x, name="A0001"):
    """As the PhysioNet Challenges of 2020 and 2021 have it: a MAT 4 file, which WFDB reads from byte 24 on."""
    digital = np.rint(x * 1000).astype(np.int16)
    scipy.io.savemat(folder / f"{name}.mat", {"val": digital}, format="4")
    rows = [f"{name}.mat 16+24 1000/mV 16 0 {row[0]} 0 0 {lead}" for lead, row in zip(LEADS, digital, strict=True)]
    notes = ["#Age: 74", "#Sex: Male", "#Dx: 59118001,426783006", "#Rx: Unknown"]
    (folder / f"{name}.hea").write_text("\n".join([f"{name} 12 {FS} {x.shape[1]}", *rows, *notes]) + "\n")
    return folder / f"{name}.hea"


def frame(x, leads=LEADS):
    return pd.DataFrame(x.T, columns=list(leads))


def write_edf(folder, x, name="rec.edf", leads=LEADS, dimension="mV", per=1):
    edfio = pytest.importorskip("edfio")
    size = 4.0 * per
    made = [
        edfio.EdfSignal(row * per, FS, label=f"ECG {lead}", physical_dimension=dimension, physical_range=(-size, size))
        for lead, row in zip(leads, x, strict=True)
    ]
    edfio.Edf(made, patient=edfio.Patient(sex="F")).write(folder / name)
    return folder / name


def write_all(folder, x):
    """The record in every format: path, arguments, and half a step of what the format can hold, in mV."""
    write_wfdb(folder, x, comments=["Age: 56", "Sex: F"])
    (folder / "mat").mkdir()
    table = frame(x)
    timed = frame(x).assign(time=np.arange(N) / FS)[["time", *LEADS]]
    table.to_csv(folder / "plain.csv", index_label="sample")
    timed.to_csv(folder / "german.csv", sep=";", decimal=",", index=False, lineterminator="\r\n", encoding="utf-8-sig")
    micro = (timed * 1000).rename(columns={lead: f"lead {lead.lower()} (µV)" for lead in LEADS})
    micro = micro.rename(columns={"time": "ms"})
    micro.to_csv(folder / "latin.csv", index=False, encoding="latin-1", quoting=1)
    table.to_csv(folder / "rec.tsv", sep="\t", index=False)
    np.save(folder / "rec.npy", x)
    np.save(folder / "tall.npy", x.T)
    np.savez(folder / "rec.npz", signal=x.T * 1000, fs=FS, leads=list(LEADS), unit="uV")
    np.savez_compressed(folder / "one.npz", anything=x)
    rate = {"sampling_rate": FS}
    return [
        (folder / "rec.hea", {}, 0),
        (folder / "rec.dat", {}, 0),
        (folder / "rec", {}, 0),
        (write_challenge(folder / "mat", x).with_suffix(".mat"), {}, 0),
        (folder / "plain.csv", rate, 0),
        (folder / "german.csv", {}, 0),
        (folder / "latin.csv", {}, 1e-15),
        (folder / "rec.tsv", rate, 0),
        (folder / "rec.npy", rate, 0),
        (folder / "tall.npy", rate, 0),
        (folder / "rec.npz", {}, 1e-15),
        (folder / "one.npz", rate, 0),
    ]


@pytest.fixture(scope="module")
def everything(tmp_path_factory, x):
    return write_all(tmp_path_factory.mktemp("formats"), x)


def fails(match, path, **arguments):
    with pytest.raises(DataError, match=match) as caught:
        own_files.read(path, **arguments)
    message = str(caught.value)
    assert message.startswith(str(Path(path).parent)) and "\n" not in message, message
    return message


# --- the same record in every format


def test_all_formats_give_the_same_record(everything, x):
    for path, arguments, step in everything:
        ecg = own_files.read(path, **arguments)
        assert ecg.leads == LEADS and ecg.sampling_rate == FS and ecg.name == path.stem, path
        assert ecg.signal.dtype == np.float64 and ecg.signal.shape == (12, N), path
        np.testing.assert_allclose(ecg.signal, x, rtol=0, atol=step, err_msg=str(path))


@pytest.mark.parametrize("dimension, per", [("mV", 1), ("uV", 1000), ("V", 0.001)])
def test_edf_as_its_own_library_writes_it(tmp_path, x, dimension, per):
    path = write_edf(tmp_path, x, dimension=dimension, per=per)
    ecg = own_files.read(path)
    # Sixteen bits for 8 mV.
    np.testing.assert_allclose(ecg.signal, x, rtol=0, atol=8 / 65535)
    assert ecg.leads == LEADS and ecg.sampling_rate == FS and ecg.about["sex"] == "female"


def test_bdf_and_edf_with_annotations(tmp_path, x):
    edfio = pytest.importorskip("edfio")
    made = [
        edfio.BdfSignal(row, FS, label=lead, physical_dimension="mV", physical_range=(-4, 4))
        for lead, row in zip(LEADS, x, strict=True)
    ]
    edfio.Bdf(made).write(tmp_path / "a.bdf")
    np.testing.assert_allclose(own_files.read(tmp_path / "a.bdf").signal, x, rtol=0, atol=8 / 2**24)
    other = edfio.EdfSignal(np.linspace(0, 1, N // 10), FS / 10, label="Resp", physical_dimension="l")
    lead = edfio.EdfSignal(x[1], FS, label="EKG II", physical_dimension="mV")
    edfio.Edf([other, lead], annotations=[edfio.EdfAnnotation(1, None, "beat")]).write(tmp_path / "b.edf")
    ecg = own_files.read(tmp_path / "b.edf")
    assert ecg.leads == ("II",) and ecg.signal.shape == (1, N)


def test_edf_that_cannot_be_used(tmp_path, x):
    path = write_edf(tmp_path, x)
    content = path.read_bytes()
    path.write_bytes(content[:-5000])
    fails("too few for 8 blocks", path)
    path.write_bytes(content[:236] + b"99999999" + content[244:])
    fails("99999999 blocks", path)
    start = 256 + 12 * 96
    path.write_bytes(content[:start] + b"mmHg    " + content[start + 8 :])
    fails("lead I is in 'mmHg'", path)
    start = 256 + 12 * 96
    path.write_bytes(content[:start] + b"\xb5V      " * 12 + content[start + 96 :])
    np.testing.assert_allclose(own_files.read(path).signal, x / 1000, rtol=0, atol=1e-6)


def test_hl7_through_its_library(tmp_path, x):
    pytest.importorskip("ecgdatakit")
    start = '<component><sequence><code code="{}"/><value xsi:type="{}">'
    rows = (
        start.format("TIME_ABSOLUTE", "GLIST_TS") + '<increment value="0.004" unit="s"/></value></sequence></component>'
    )
    for lead, row in zip(LEADS, np.rint(x * 1000).astype(int), strict=True):
        rows += start.format(f"MDC_ECG_LEAD_{lead.upper()}", "SLIST_PQ") + '<origin value="0" unit="uV"/>'
        rows += f'<scale value="1" unit="uV"/><digits>{" ".join(map(str, row))}</digits></value></sequence></component>'
    spaces = 'xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    series = f'<series><code code="RHYTHM"/><component><sequenceSet>{rows}</sequenceSet></component></series>'
    text = f"<?xml version='1.0'?><AnnotatedECG {spaces}><component>{series}</component></AnnotatedECG>"
    ecg = own_files.read(write(tmp_path / "a.xml", text))
    assert ecg.leads == LEADS and ecg.sampling_rate == FS and own_files.find(tmp_path) == [tmp_path / "a.xml"]
    np.testing.assert_allclose(ecg.signal, x, rtol=0, atol=1e-12)
    fails("can't be read", write(tmp_path / "b.xml", text[:400]))


def test_a_library_that_is_missing_is_named(tmp_path, monkeypatch):
    import builtins

    real = builtins.__import__

    def without(name, *rest):
        if name in ("edfio", "ecgdatakit"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for name, library in {
        "a.edf": "edfio",
        "a.dcm": "ecgdatakit",
        "a.xml": "ecgdatakit",
        "a.scp": "ecgdatakit",
    }.items():
        (tmp_path / name).write_bytes(b"something")
        assert "ecgcourse[formats]" in fails(
            f"{name[2:].upper()} needs {library}; pip install {library}", tmp_path / name
        )


def test_leads_in_another_order_and_spelling_change_nothing(tmp_path, x):
    order = np.random.default_rng(1).permutation(12)
    spellings = ["lead I", "ECG II", "iii", "AVR", "avl", "aVF", "v1", "V2", "ECG_V3", "Lead v4", "V5_mV", "V6 [mV]"]
    shuffled = [spellings[index] for index in order]
    frame(x[order], shuffled).to_csv(tmp_path / "a.csv", index=False)
    write_wfdb(tmp_path, x[order], "b", [name.replace("_mV", "").replace(" [mV]", "") for name in shuffled])
    np.save(tmp_path / "c.npy", x[order])
    for path, arguments in [("a.csv", {}), ("b.hea", {}), ("c.npy", {"leads": shuffled})]:
        ecg = own_files.read(tmp_path / path, None if path[0] == "b" else FS, **arguments)
        assert ecg.leads == LEADS
        assert np.array_equal(ecg.signal, x)


# --- WFDB


@pytest.mark.parametrize("fmt", ["16", "24", "32", "80", "212", "310", "311", "508", "516", "524"])
def test_wfdb_formats_equal_wfdb(tmp_path, x, fmt):
    small = x / 20 if fmt in ("80", "310", "311", "508") else x
    try:
        path = write_wfdb(tmp_path, small[:3], leads=LEADS[:3], fmt=fmt)
    except Exception:
        pytest.skip(f"this wfdb doesn't write format {fmt}")
    record = wfdb.rdrecord(str(path.with_suffix("")))
    assert np.array_equal(own_files.read(path).signal, record.p_signal.T)


@pytest.mark.parametrize("unit, per", [("mV", 1), ("uV", 1e3), ("V", 1e-3), ("nV", 1e6), ("µV", 1e3), ("μV", 1e3)])
def test_wfdb_units(tmp_path, x, unit, per):
    path = write_wfdb(tmp_path, x, gain=1000 / per, units="mV")
    text = path.read_text().replace("/mV", f"/{unit}")
    for code in ("utf-8", "latin-1") if unit != "μV" else ("utf-8",):
        path.write_bytes(text.encode(code))
        np.testing.assert_allclose(own_files.read(path).signal, x, rtol=1e-12, atol=1e-12)


def test_wfdb_units_that_are_no_voltages(tmp_path, x):
    path = write_wfdb(tmp_path, x[:2], leads=("I", "Resp"))
    text = path.read_text()
    path.write_text(text.replace("/mV 16 0", "/NU 16 0"))
    fails("lead I is in 'NU'", path)
    lines = text.splitlines()
    path.write_text("\n".join([*lines[:2], lines[2].replace("/mV", "/NU"), *lines[3:]]))
    ecg = own_files.read(path)
    assert ecg.leads == ("I",) and ecg.about["other"] == ("Resp",)


def test_wfdb_without_gain_is_read_with_a_warning(tmp_path, x):
    path = write_wfdb(tmp_path, x[:1], leads=("I",), gain=200.0)
    path.write_text(path.read_text().replace("200.0(0)/mV 16", "0 16"))
    with pytest.warns(EcgCourseWarning, match="lead I has no gain"):
        ecg = own_files.read(path)
    np.testing.assert_allclose(ecg.signal, x[:1] * 5)


def test_wfdb_gain_with_a_sign_is_a_gain(tmp_path, x):
    path = write_wfdb(tmp_path, x[:1], leads=("I",))
    path.write_text(path.read_text().replace("1000.0(0)/mV 16", "+1000/mV 16"))
    with warnings.catch_warnings(action="error", category=EcgCourseWarning):
        np.testing.assert_allclose(own_files.read(path).signal, x[:1], atol=1e-9)


def test_comments_of_the_challenge(tmp_path, x):
    ecg = own_files.read(write_challenge(tmp_path, x))
    assert {key: ecg.about[key] for key in ("age", "sex", "dx", "format")} == {
        "age": 74,
        "sex": "male",
        "dx": ("59118001", "426783006"),
        "format": "WFDB",
    }
    assert "Rx: Unknown" in ecg.about["comments"]
    record = wfdb.rdrecord(str(tmp_path / "A0001"))
    assert np.array_equal(ecg.signal, record.p_signal.T)


def segmented(folder, x):
    """Two pieces with a gap of 500 samples between them."""
    write_wfdb(folder, x[:, :1000], "seg1")
    write_wfdb(folder, x[:, 1000:], "seg2")
    layout = "".join(f"~ 0 1000(0)/mV 16 0 0 0 0 {lead}\n" for lead in LEADS)
    (folder / "layout.hea").write_text(f"layout 12 {FS} 0\n{layout}")
    (folder / "multi.hea").write_text(f"multi/4 12 {FS} {N + 500}\nlayout 0\nseg1 1000\n~ 500\nseg2 1000\n")
    return folder / "multi.hea"


def test_segments_and_gaps(tmp_path, x):
    path = segmented(tmp_path, x)
    ecg = own_files.read(path)
    record = wfdb.rdrecord(str(path.with_suffix("")))
    np.testing.assert_array_equal(ecg.signal, record.p_signal.T)
    assert own_files.find(tmp_path) == [path]
    with pytest.warns(EcgCourseWarning, match="1 of 5 windows of 2 s have gaps"):
        pieces = own_files.windows(ecg, 2)
    assert pieces.left_out == 1 and pieces.starts.tolist() == [0, 2, 6, 8]
    assert np.array_equal(pieces.signals[2], x[:, 1000:1500])
    path.write_text(f"multi/3 12 {FS} 99999999999\nlayout 0\nseg1 1000\n~ 99999998999\n")
    fails("segments can't hold", path)


def test_variable_layout_equals_wfdb(tmp_path, x):
    write_wfdb(tmp_path, x[:2, :1000], "seg1", LEADS[:2])
    write_wfdb(tmp_path, x[1:2, 1000:], "seg2", LEADS[1:2])
    layout = "".join(f"~ 0 1000(0)/mV 16 0 0 0 0 {lead}\n" for lead in LEADS[:2])
    (tmp_path / "layout.hea").write_text(f"layout 2 {FS} 0\n{layout}")
    (tmp_path / "multi.hea").write_text(f"multi/3 2 {FS} {N}\nlayout 0\nseg1 1000\nseg2 1000\n")
    ecg = own_files.read(tmp_path / "multi")
    np.testing.assert_array_equal(ecg.signal, wfdb.rdrecord(str(tmp_path / "multi")).p_signal.T)
    assert np.isnan(ecg.signal[0, 1000:]).all() and ecg.leads == ("I", "II")


def test_damaged_wfdb(tmp_path, x):
    path = write_wfdb(tmp_path, x)
    header, data = path.read_text(), path.with_suffix(".dat").read_bytes()
    path.with_suffix(".dat").write_bytes(data[:-1000])
    fails("has 47000 and is cut short", path)
    path.with_suffix(".dat").write_bytes(data)
    for wrong, match in [
        (header.replace(f" {N}", " 999999999999"), "cut short"),
        ("rec 0 250 2000\n", "describes 0 signals"),
        ("", "can't be read"),
        ("rec 99999999 250 2000\n", "describes 0 signals"),
        (header.replace("rec.dat", "gone.dat"), "can't be opened"),
        (header.replace(" II\n", " I\n"), "lead I twice"),
        (header.replace("rec 12", "rec 11"), "describes 12 signals"),
    ]:
        path.write_text(wrong)
        fails(match, path)
    path.write_text("rec/2 12 250 2000\nrec 1000\nrec 1000\n")
    fails("describes 0 signals", path)
    path.unlink()
    fails("put the header, rec.hea, beside it", tmp_path / "rec.dat")


def test_a_changed_byte_is_told_by_the_checksum(tmp_path, x):
    """wfdb writes the sums; what it reads is handed on all the same, with one warning for all leads and segments."""
    path = write_wfdb(tmp_path, x[:3], leads=("I", "II", "V2"))
    (tmp_path / "multi.hea").write_text(f"multi/1 3 {FS} {N}\nrec {N}\n")
    own_files.read(path)
    data = bytearray(path.with_suffix(".dat").read_bytes())
    # Frames of three leads, two bytes each: lead II of the hundredth, and V2 of the next.
    data[6 * 100 + 2] ^= 1
    data[6 * 101 + 5] ^= 64
    path.with_suffix(".dat").write_bytes(data)
    for each in (path, tmp_path / "multi.hea"):
        with pytest.warns(EcgCourseWarning) as caught:
            ecg = own_files.read(each)
        (message,) = (str(one.message) for one in caught)
        assert message.startswith(f"{path}: the samples of lead II, V2 don't add up to the checksum")
        np.testing.assert_array_equal(ecg.signal, wfdb.rdrecord(str(path.with_suffix(""))).p_signal.T)
    # Sums that nobody worked out are no reason to warn.
    path.write_text(
        "\n".join(
            f"{line.rsplit(' ', 3)[0]} 0 0 {line.split()[-1]}" if ".dat" in line else line
            for line in path.read_text().splitlines()
        )
    )
    own_files.read(path)


def real(root, rate):
    folder = root / f"records{rate}"
    return sorted(folder.rglob("*.hea"))[::7]


@pytest.mark.parametrize("rate", [100, 500])
def test_real_records_equal_wfdb_to_the_bit(rate, real_root):
    paths = real(real_root, rate)
    if not paths:
        pytest.skip(f"no real records of {rate} Hz in {real_root}")
    for path in paths:
        ecg, record = own_files.read(path), wfdb.rdrecord(str(path.with_suffix("")))
        assert ecg.leads == LEADS and ecg.sampling_rate == rate == record.fs
        assert ecg.signal.tobytes() == np.ascontiguousarray(record.p_signal.T).tobytes()


# --- tables


def write(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def test_tables_in_many_dialects(tmp_path, x):
    two = x[:2, :500]
    ii = [f"{value:.3f}" for value in two[1]]
    path = tmp_path / "a.csv"
    rows = "\n".join(ii)
    comma = rows.replace(".", ",")
    for text in [
        f"II\n{rows}\n",
        f"\ufeffII\r\n{rows}\r\n\r\n  \r\n".replace("\n", "\r\n").replace("\r\r", "\r"),
        f"II\n{comma}\n",
        f"# recorded at home\n# Age: 41\nII;\n{comma.replace(chr(10), ';' + chr(10))};\n;;\n",
        'sample #,MLI,"II (mV)"\n' + "\n".join(f'{n},0,"{v}"' for n, v in enumerate(ii)),
        "'Elapsed time','II'\n'hh:mm:ss.mmm','mV'\n" + "\n".join(f"'0:{n / 250:06.3f}',{v}" for n, v in enumerate(ii)),
        "time\tII\n" + "\n".join(f"{n / 250:.3f}\t{v}" for n, v in enumerate(ii)),
        "t_ms;ii\n" + "\n".join(f"{4 * n};{v}" for n, v in enumerate(ii)).replace(".", ","),
        "I II\n" + "\n".join(f"9e-3  {v}" for v in ii),
        "# I,II\n" + "\n".join(f"0.001,{v}" for v in ii),
    ]:
        write(path, text)
        ecg = own_files.read(path, FS)
        assert ecg.leads[-1] == "II", text[:40]
        np.testing.assert_array_equal(ecg.signal[-1], two[1], err_msg=text[:40])
    write(path, f"# Age: 41\n# sex: m\nII\n{rows}")
    about = own_files.read(path, FS).about
    assert about["age"] == 41 and about["sex"] == "male"
    np.savetxt(path, two.T, header="I II")
    np.testing.assert_array_equal(own_files.read(path, FS).signal, two)
    np.savetxt(path, two.T)
    np.testing.assert_array_equal(own_files.read(path, FS, leads=("I", "II")).signal, two)
    fails("has no header", path, sampling_rate=FS)


@pytest.mark.parametrize("code", ["utf-8", "utf-8-sig", "latin-1", "utf-16"])
def test_micro_in_every_encoding(tmp_path, x, code):
    table = frame(x * 1000, [f"{lead}_µV" for lead in LEADS])
    table.to_csv(tmp_path / "a.csv", index=False, encoding=code)
    np.testing.assert_allclose(own_files.read(tmp_path / "a.csv", FS).signal, x, rtol=1e-15)


@pytest.mark.parametrize(
    "name, per, fs, digits",
    [("time", 1, 250, 9), ("Time (s)", 1, 360, 3), ("ms", 1e3, 1000, 0), ("time_ms", 1e3, 360, 2), ("t", 1, 257, 6)]
    + [("seconds", 1, 128, 17), ("µs", 1e6, 500, 0), ("Elapsed time [ms]", 1e3, 500, 3), ("timestamp", 1, 100, 2)],
)
def test_the_rate_follows_from_times(tmp_path, x, name, per, fs, digits):
    table = frame(x)
    table.insert(0, name, np.round(np.arange(N) * per / fs + 3 * per, digits))
    table.to_csv(tmp_path / "a.csv", index=False)
    assert own_files.read(tmp_path / "a.csv").sampling_rate == fs
    assert own_files.read(tmp_path / "a.csv", fs).sampling_rate == fs
    fails("but sampling_rate=77 was given", tmp_path / "a.csv", sampling_rate=77)


def test_times_that_cannot_be_right(tmp_path, x):
    path = tmp_path / "a.csv"
    times = np.arange(N) / FS
    for changed, match in [
        (np.delete(np.arange(N + 1), 700) / FS, "goes by 0.008 after 2.796, but by 0.004 elsewhere"),
        (times + 0.001 * np.random.default_rng(0).standard_normal(N), "equal steps|increase"),
        (times**1.01, "equal steps"),
        (times[::-1], "no times that increase"),
        (times * 0, "no times that increase"),
        (np.where(times == 1, np.nan, times), "no times that increase"),
        (times * 1000, "name its unit, as in time_ms"),
    ]:
        frame(x).assign(time=changed).to_csv(path, index=False)
        fails(match, path)
    assert own_files.read(path, FS).sampling_rate == FS
    frame(x).assign(time=times, seconds=times).to_csv(path, index=False)
    fails("two columns of times, 'time' and 'seconds'", path)


def test_damaged_tables(tmp_path, x):
    path = tmp_path / "a.csv"
    text = frame(x).to_csv(index=False)
    for content, match in [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("a\0b", "is no text"),
        ("I,II\n", "holds no samples"),
        ("first,other\n1,2\n", "no signal is a lead of the ECG: found first, other"),
        (text[: len(text) - 40].rstrip(), "cut short"),
        (text.replace("\n", "\nword,", 1), "begins with 13 columns and ends with 12"),
        ("I,I\n1,2\n1,2\n", "lead I twice"),
        ("I,lead i\n1,2\n1,2\n", "lead I twice"),
        ("I,II\n1,2\n1,two\n1,2\n", "column 'II' has 'two'"),
        ("I,II\n1,2\n1,2,3\n1,2\n", "can't be read"),
        ("I,II\n1,inf\n1,2\n", "infinite"),
        ("I,II\n,\nNaN,\n", "no value that is a number"),
        ("I (mmHg)\n1\n2\n", "lead I is in 'mmHg'"),
    ]:
        write(path, content)
        fails(match, path, sampling_rate=FS)
    write(path, text)
    fails("give sampling_rate", path)
    fails("has 12 signals .* but 2 leads", path, sampling_rate=FS, leads=("I", "II"))


def test_a_lead_that_holds_nothing_is_not_there(tmp_path, x):
    table = frame(x)
    table["III"] = np.nan
    table.loc[7, "V1"] = np.nan
    table.to_csv(tmp_path / "a.csv", index=False)
    ecg = own_files.read(tmp_path / "a.csv", FS)
    assert "III" not in ecg.leads and ecg.about["other"] == ("III",) and np.isnan(ecg.signal[5]).sum() == 1


# --- units


@pytest.mark.parametrize("unit, per", [("uV", 1e3), ("V", 1e-3), ("nV", 1e6)])
def test_a_unit_that_isnt_said(tmp_path, x, unit, per):
    for path, save in [(tmp_path / "a.npy", np.save), (tmp_path / "a.npz", lambda p, v: np.savez(p, x=v))]:
        save(path, x * per)
        assert f"--unit {unit}" in fails(f'give unit="{unit}"', path, sampling_rate=FS)
        np.testing.assert_allclose(own_files.read(path, FS, unit=unit).signal, x, rtol=1e-14)
    frame(x * per).to_csv(tmp_path / "a.csv", index=False)
    fails(f'it is likely {unit}; give unit="{unit}"', tmp_path / "a.csv", sampling_rate=FS)
    # An offset changes nothing about the waves, but no heart has it.
    np.save(tmp_path / "a.npy", x + 300)
    fails("reaches 30[12].* mV, which no heart does", tmp_path / "a.npy", sampling_rate=FS)


def test_a_unit_that_is_wrong(tmp_path, x):
    np.save(tmp_path / "a.npy", x * 1000)
    fails(
        "which no heart does on the skin; the unit is wrong, it is likely uV",
        tmp_path / "a.npy",
        sampling_rate=FS,
        unit="mV",
    )
    path = write_wfdb(tmp_path, x, gain=1.0)
    fails("the unit in the file is wrong, it is likely uV", path)
    with pytest.raises(SettingError, match="no unit is called 'furlong'"):
        own_files.read(path, unit="furlong")
    with pytest.raises(SettingError, match="sampling_rate=-1"):
        own_files.read(path, -1)
    assert own_files.NO_HEART == signals.NO_HEART


# --- NumPy


def test_arrays_that_cannot_be_used(tmp_path, x):
    path = tmp_path / "a.npy"
    for array, match in [
        (np.array([{"a": 1}, None]), "can't be read as an array: it holds object"),
        (x[:11], r"has shape \(11, 2000\); 12 leads"),
        (x[:, :12], r"has shape \(12, 12\)"),
        (x[None], r"has shape \(1, 12, 2000\)"),
        (np.zeros((12, 0)), "holds no samples"),
        (x > 0, "holds bool"),
        (x.astype(complex), "holds complex128"),
        (x * np.nan, "no value that is a number"),
        (x * 0, "can't be mV"),
    ]:
        np.save(path, array, allow_pickle=True)
        fails(match, path, sampling_rate=FS)
    np.save(path, x)
    path.write_bytes(path.read_bytes()[:-8])
    fails("promises 192000 bytes, but it holds 191992", path)
    np.save(path, x[0])
    ecg = own_files.read(path, FS, leads=["II"])
    assert ecg.leads == ("II",) and np.array_equal(ecg.signal[0], x[0])
    archive = tmp_path / "a.npz"
    np.savez(archive, a=x, b=x)
    fails("one array is to be the ECG", archive)
    np.savez(archive, x=np.array([None]))
    fails("holds object", archive)
    np.savez(archive, x=x, fs=FS, sig_name=np.array(LEADS[::-1], dtype="S"), noise=x)
    assert np.array_equal(own_files.read(archive).signal, x[::-1])
    fails("but sampling_rate=100", archive, sampling_rate=100)


def test_an_archive_that_promises_too_much(tmp_path, x):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive, archive.open("x.npy", "w") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f8", "fortran_order": False, "shape": (12, 2**40)})
        file.write(b"\0" * 100)
    fails("promises", path)


# --- leads that follow from others, and windows


def test_limb_leads_follow_from_two(tmp_path, x):
    given_leads = ("I", "II", "V2")
    path = write_wfdb(tmp_path, x[[0, 1, 7]], leads=given_leads)
    ecg = own_files.with_leads(own_files.read(path), ("aVF", "V2", "III", "aVR", "II", "aVL"))
    one, two = x[0], x[1]
    expected = [two - one / 2, x[7], two - one, -(one + two) / 2, two, one - two / 2]
    assert ecg.leads == ("aVF", "V2", "III", "aVR", "II", "aVL")
    np.testing.assert_array_equal(ecg.signal, expected)
    # Goldberger's leads add up to nothing, and Einthoven's law holds.
    np.testing.assert_allclose(ecg.signal[[0, 3, 5]].sum(axis=0), 0, atol=1e-12)
    with pytest.raises(DataError, match="rec: has no lead V1, V6, only I, II, V2"):
        own_files.with_leads(own_files.read(path), ("I", "V1", "V6"))
    with pytest.raises(SettingError, match="no lead is called 'V7'"):
        own_files.with_leads(own_files.read(path), ("V7",))


def test_leads_that_are_there_are_not_worked_out(tmp_path, x):
    ecg = own_files.with_leads(own_files.read(write_wfdb(tmp_path, x)), LEADS[::-1])
    assert np.array_equal(ecg.signal, x[::-1]) and ecg.leads == LEADS[::-1]


def test_mlii_stands_for_ii(tmp_path, x):
    ecg = own_files.read(write_wfdb(tmp_path, x[:2], leads=("MLII", "V5")))
    assert ecg.leads == ("V5", "MLII")
    with pytest.warns(EcgCourseWarning, match="MLII is taken for lead II") as caught:
        taken = own_files.with_leads(ecg, ("II", "V5"))
    assert len(caught) == 1 and caught[0].filename == __file__ and np.array_equal(taken.signal, x[:2])
    with pytest.raises(DataError, match="has no lead III, only V5, MLII"):
        own_files.with_leads(ecg, ("III",))


def test_windows(tmp_path, x):
    ecg = own_files.read(write_wfdb(tmp_path, x))
    pieces = own_files.windows(ecg, 3)
    assert pieces.starts.tolist() == [0, 3] and pieces.left_out == 0
    assert np.array_equal(pieces.signals, [x[:, :750], x[:, 750:1500]])
    with pytest.raises(DataError, match=r"lasts 8 s \(2000 samples\), but 10 s \(2500 samples\) are needed"):
        own_files.windows(ecg, 10)
    for wrong in (0, -1, float("nan"), 0.001, "3"):
        with pytest.raises(SettingError, match="n_seconds"):
            own_files.windows(ecg, wrong)


# --- folders


def test_find_names_each_record_once(tmp_path, everything, x):
    folder = everything[0][0].parent
    found = own_files.find([folder, folder / "rec.dat", folder / "mat" / "A0001"])
    names = [str(path.relative_to(folder)) for path in found]
    assert names == sorted(
        {str(path.relative_to(folder)) for path, *_ in everything if path.suffix} - {"rec.dat", "mat/A0001.mat"}
        | {"mat/A0001.hea"}
    )
    write(tmp_path / "notes.txt", "I wrote this.\nAnd this")
    write(tmp_path / "table.csv", "age,sex\n1,2\n")
    write(tmp_path / "page.xml", "<a/>")
    with pytest.raises(DataError, match="has no ECG"):
        own_files.find(tmp_path)
    with pytest.raises(DataError, match="can't be opened"):
        own_files.find(tmp_path / "gone.csv")
    with pytest.raises(DataError, match="in no known format"):
        own_files.find(write(tmp_path / "a.pdf", "x"))


def test_links_folders_and_pipes(tmp_path, x):
    np.save(tmp_path / "a.npy", x)
    (tmp_path / "b.npy").symlink_to(tmp_path / "a.npy")
    assert np.array_equal(own_files.read(tmp_path / "b.npy", FS).signal, x)
    assert len(own_files.find(tmp_path)) == 1
    (tmp_path / "c.npy").symlink_to(tmp_path / "c.npy")
    (tmp_path / "d.csv").symlink_to(tmp_path / "gone")
    (tmp_path / "e.csv").mkdir()
    os.mkfifo(tmp_path / "f.csv")
    for name in ("c.npy", "d.csv", "f.csv"):
        fails("can't be opened", tmp_path / name)
    fails("is a folder", tmp_path / "e.csv")
    assert len(own_files.find(tmp_path)) == 1


# --- anything at all


FUZZ = settings(max_examples=60, deadline=None)
KINDS = [".hea", ".csv", ".tsv", ".txt", ".npy", ".npz", ".edf", ".bdf", ".xml", ".scp", ".dcm", ".mat"]


def try_reading(path, **arguments):
    with warnings.catch_warnings(action="ignore"):
        try:
            ecg = own_files.read(path, **arguments)
        except EcgCourseError as error:
            assert "\n" not in str(error)
        else:
            assert ecg.signal.shape[0] == len(ecg.leads) and ecg.signal.dtype == np.float64 and ecg.sampling_rate > 0


@FUZZ
@given(content=st.binary(max_size=600) | st.text(max_size=300).map(str.encode), kind=st.sampled_from(KINDS))
def test_any_bytes_give_an_ecg_or_words(tmp_path_factory, content, kind):
    path = tmp_path_factory.getbasetemp() / f"fuzz{kind}"
    path.write_bytes(content)
    try_reading(path, sampling_rate=100)


@pytest.fixture(scope="module")
def small(tmp_path_factory, x):
    folder = tmp_path_factory.mktemp("small")
    short = x[:, :250]
    write_wfdb(folder, short)
    write_challenge(folder, short)
    frame(short).assign(time=np.arange(250) / FS).to_csv(folder / "a.csv", index=False)
    np.save(folder / "a.npy", short)
    np.savez(folder / "a.npz", x=short, fs=FS)
    made = [folder / name for name in ("rec.hea", "A0001.hea", "a.csv", "a.npy", "a.npz")]
    try:
        made.append(write_edf(folder, short))
    except pytest.skip.Exception:
        pass
    return made


@FUZZ
@given(data=st.data())
def test_mutated_files_give_an_ecg_or_words(small, data):
    path = data.draw(st.sampled_from(small))
    whole = path.read_bytes()
    changed = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, min(len(whole), 2500) - 1))
        new = data.draw(st.binary(max_size=4) | st.sampled_from([b"9999999", b"-", b"/", b"\n", b",", b" ", b"\xff"]))
        changed[at : at + data.draw(st.integers(0, 4))] = new
    if data.draw(st.booleans()):
        del changed[data.draw(st.integers(0, len(changed))) :]
    try:
        path.write_bytes(changed)
        try_reading(path)
    finally:
        path.write_bytes(whole)
