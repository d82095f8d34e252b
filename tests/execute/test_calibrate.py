"""Clean studies of a site become a reference that a later audit reads, and that a resumed run notices."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from audit_pipeline import cli
from audit_pipeline.errors import ConfigError, StoreError
from audit_pipeline.execute.calibrate import calibrate, calibration_text
from audit_pipeline.execute.local import run_audit
from audit_pipeline.store.reference import read_reference
from tests.audit_fixtures import BARE, configuration, tiny_card, write_studies


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A folder with 20 studies, the configuration over them, and what was learnt from them."""
    folder = tmp_path_factory.mktemp("site")
    write_studies(folder / "studies", 20)
    config = configuration(folder, folder / "studies", report=BARE)
    return folder, config, calibrate(config, folder / "site.parquet")


def test_every_audited_study_is_one_row(site):
    folder, _, learnt = site
    found = read_reference(folder / "site.parquet")
    assert learnt.studies == len(found.features) == 20
    assert found.layer
    assert found.quantiles.shape == (20, 64)
    assert np.isfinite(found.thumbnails).all()
    assert "blurred_image" in found.values
    assert all(np.isfinite(values).all() for values in found.values.values())


@pytest.mark.untraced
def test_the_rows_do_not_depend_on_the_order_in_which_files_are_found(site, tmp_path):
    folder, config, _ = site
    inputs = sorted((folder / "studies").iterdir(), reverse=True)
    calibrate(config, tmp_path / "again.parquet", inputs=inputs)
    first, second = (read_reference(place) for place in (folder / "site.parquet", tmp_path / "again.parquet"))
    assert np.array_equal(first.features, second.features)
    assert first.digest == second.digest


def test_an_audit_with_it_prints_p_values(site, tmp_path):
    folder, config, _ = site
    result = run_audit(config, output=tmp_path / "run", sets=[f"checks.reference={folder / 'site.parquet'}"], limit=1)
    findings = {one.code: one for one in result.records[0].findings}
    assert "conformal p" in findings["B07"].message


def test_too_few_studies_say_what_is_needed_and_what_still_holds(site):
    learnt = site[2]
    assert not learnt.is_enough
    assert "With fewer than 99 studies" in calibration_text(learnt)


def test_fewer_than_twenty_studies_make_no_reference(site, tmp_path):
    folder, config, _ = site
    few = sorted((folder / "studies").iterdir())[:3]
    with pytest.raises(ConfigError, match="3 of 3 studies could be audited; a reference needs 20"):
        calibrate(config, tmp_path / "few.parquet", inputs=few)
    assert not (tmp_path / "few.parquet").exists()


def test_a_reference_of_other_weights_is_refused(site, tmp_path):
    folder, _, _ = site
    other = configuration(tmp_path, folder / "studies")
    other["model"]["card"] = tiny_card(tmp_path, network={"name": "densenet", "args": {"init_features": 4}})
    with pytest.raises(ConfigError, match="measured with other weights"):
        run_audit(
            other, output=tmp_path / "run",
            sets=[f"checks.reference={folder / 'site.parquet'}"],
        )  # fmt: skip


def test_a_run_is_not_resumed_with_another_reference(site, tmp_path):
    folder, config, _ = site
    run_audit(config, output=tmp_path / "run", limit=1)
    with pytest.raises(StoreError):
        run_audit(config, output=tmp_path / "run", sets=[f"checks.reference={folder / 'site.parquet'}"], limit=1)


def test_the_command_prints_what_was_learnt(site, tmp_path):
    folder, config, _ = site
    place = tmp_path / "config.yaml"
    place.write_text(json.dumps(config, default=str))
    told = CliRunner().invoke(
        cli.app, ["calibrate", str(place), "--input", str(folder / "studies"), "-o", str(tmp_path / "r"), "--json"]
    )
    assert told.exit_code == 0, told.output
    found = json.loads(told.stdout)
    assert found["studies"] == 20
    assert (tmp_path / found["reference"][0]).exists()
