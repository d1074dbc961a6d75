"""What a refusal looks like, and what it must not leave."""


def snapshot(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused(said, begins, world):
    """Exit code 2, one line that begins so, nothing on standard output, and no output folder; W stands for `world`."""
    assert said.code == 2, said
    assert said.out == ""
    assert len(said.complaint) == 1, said.err
    line = said.complaint[0]
    assert line.startswith(f"semalign: {begins}"), line
    assert line.isprintable()
    assert not (world / "out").exists()
