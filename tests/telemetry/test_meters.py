"""What processes counted, put together."""

from types import SimpleNamespace

from pipeline.telemetry import transfer_meters


def counts(h2d, peak):
    return {"h2d": h2d, "h2d_files": 1, "d2h": 2, "peak_device": peak}


def test_workers_on_gpus_are_asked_too(monkeypatch):
    own = SimpleNamespace(read_meter=lambda: counts(5, 30))
    monkeypatch.setattr(transfer_meters, "frames_of", lambda name: own)
    asked = []

    def run(function, device, on_error):
        asked.append(device)
        return {"a": counts(100, 70), "b": counts(200, 60)}

    client = SimpleNamespace(scheduler=SimpleNamespace(address="tcp://127.0.0.1:1"), run=run)
    found = transfer_meters.collect_meters(client, "gpu")
    assert found == {"h2d": 305, "h2d_files": 3, "d2h": 6, "peak_device": 70}
    assert asked == ["gpu"]
    assert transfer_meters.collect_meters(client, "cpu") == counts(5, 30)
    client.scheduler.address = "inproc://1"
    assert transfer_meters.collect_meters(client, "gpu") == counts(5, 30)
    assert asked == ["gpu"]


def test_what_is_kept_goes_in_every_process_with_a_gpu(monkeypatch):
    gone = []
    own = SimpleNamespace(release=lambda: gone.append("here"))
    monkeypatch.setattr(transfer_meters, "frames_of", lambda name: own)

    def run(function, device, on_error):
        gone.append("there")
        return {"a": function(device)}

    client = SimpleNamespace(scheduler=SimpleNamespace(address="tcp://127.0.0.1:1"), run=run)
    transfer_meters.release_tables(client, "gpu")
    assert gone == ["here", "there", "here"]
    transfer_meters.release_tables(client, "cpu")
    assert gone[3:] == ["here"]
