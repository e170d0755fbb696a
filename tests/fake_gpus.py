"""A machine with any GPUs one likes."""

from dataclasses import dataclass, field

from pipeline.device.probe import Driver, Gpu, NoDriver

GIB = 2**30


def gpu(index=0, name="NVIDIA H200", capability=(9, 0), uuid=None):
    return Gpu(index, uuid or f"GPU-{index}a{index}b", name, 140 * GIB, 139 * GIB, capability)


@dataclass
class Fake:
    gpus: tuple = (gpu(),)
    version: str = "580.65.06"
    cuda: int = 13000
    slices: dict = field(default_factory=dict)
    absent: tuple = ()
    major: int = 13
    broken: str = ""
    asked: int = 0

    def driver(self):
        self.asked += 1
        if self.broken:
            raise NoDriver(self.broken)
        return Driver(self.version, self.cuda, tuple(self.gpus), self.slices)

    def missing(self):
        return list(self.absent)

    def cuda_major(self):
        return self.major
