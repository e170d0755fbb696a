"""The state of GPUs, read through a fake NVML."""

from fake_nvml import Nvml

from pipeline.doctor.health import GpuCondition, Health, read_health

WELL = {
    "MigMode": [0, 0], "EccMode": [1, 1], "RemappedRows": (0, 0, 0, 0), "ComputeMode": 0,
    "TotalEccErrors": lambda kind, counter: 0, "CurrentClocksThrottleReasons": 0x4,  # a power cap
    "NvLinkState": lambda link: 1 if link < 4 else None, "MaxPcieLinkGeneration": 5,
    "MaxPcieLinkWidth": 16, "P2PStatus": lambda other, index: 0,
}  # fmt: skip


class Linked(Nvml):
    """Its links and slices end with an error, as NVML's do."""

    def __getattr__(self, question):
        ask = super().__getattr__(question)

        def answered(*about):
            if (answer := ask(*about)) is None:
                raise self.NVMLError("Not Found")
            return answer

        return answered


def test_a_gpu_that_is_well():
    well = GpuCondition(False, 0, ecc=True, ecc_next=True, links=(True,) * 4, pcie=(5, 16))
    assert read_health(Linked({"a": WELL, "b": WELL})) == Health({0: well, 1: well})


def test_a_gpu_that_is_not():
    nvml = Linked({
        "a": {
            **WELL, "MigMode": [1, 1], "MaxMigDeviceCount": 7,
            "MigDeviceHandleByIndex": lambda place: "slice" if place < 2 else None,
            "EccMode": [0, 1], "RemappedRows": (1, 2, 1, 0), "ComputeMode": 3,
            "TotalEccErrors": lambda kind, counter: 5, "CurrentClocksThrottleReasons": 0x40 | 0x20 | 0x80,
            "NvLinkState": lambda link: link % 2 if link < 4 else None,
        },
        "b": WELL,
        "c": {"P2PStatus": lambda other, index: 0, "ComputeMode": 2, "RemappedRows": (0, 0, 0, 1)},
    })  # fmt: skip
    nvml.gpus["a"]["P2PStatus"] = lambda other, index: {"b": 5, "c": 0}[other]
    health = read_health(nvml)
    assert health.gpus[0] == GpuCondition(
        True, 2, ecc=False, ecc_next=True, uncorrected=5, remap_waits=True,
        links=(False, True, False, True), mode="exclusive", slowed=("heat", "its power supply"),
        pcie=(5, 16),
    )  # fmt: skip
    assert health.gpus[2] == GpuCondition(mode="prohibited", remap_failed=True)
    assert health.apart == {(0, 1)}


def test_what_a_gpu_does_not_tell_is_no_fault():
    assert read_health(Nvml({"a": {}, "b": {}})) == Health({0: GpuCondition(), 1: GpuCondition()})
