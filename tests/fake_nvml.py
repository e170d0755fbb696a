"""pynvml of GPUs that a test makes up; what a GPU is not told to have is "Not Supported"."""

from types import SimpleNamespace

GIB = 2**30


class Nvml:
    """Stands for the module. ``gpus``: by UUID, {question: answer, or a function of the rest}."""

    class NVMLError(Exception):
        pass

    class NVMLError_LibraryNotFound(NVMLError):
        pass

    NVML_PCIE_UTIL_TX_BYTES, NVML_PCIE_UTIL_RX_BYTES, NVML_TEMPERATURE_GPU = 0, 1, 0
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2
    NVML_NVLINK_MAX_LINKS, NVML_P2P_CAPS_INDEX_READ, NVML_P2P_STATUS_OK = 18, 0, 0
    NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 1, 0
    NVML_COMPUTEMODE_DEFAULT, NVML_COMPUTEMODE_PROHIBITED, NVML_COMPUTEMODE_EXCLUSIVE_PROCESS = (
        0,
        2,
        3,
    )
    nvmlClocksThrottleReasonHwThermalSlowdown, nvmlClocksThrottleReasonHwPowerBrakeSlowdown = (
        0x40,
        0x80,
    )
    nvmlClocksThrottleReasonSwThermalSlowdown = 0x20

    def __init__(self, gpus):
        self.gpus, self.users, self.asked = gpus, 0, 0

    def nvmlInit(self):
        self.users += 1

    def nvmlShutdown(self):
        self.users -= 1

    def nvmlDeviceGetHandleByUUID(self, uuid):
        return uuid

    def nvmlDeviceGetHandleByIndex(self, index):
        return list(self.gpus)[index]

    def nvmlDeviceGetCount(self):
        return len(self.gpus)

    def __getattr__(self, question):
        if not question.startswith("nvmlDeviceGet"):
            raise AttributeError(question)

        def ask(handle, *more):
            self.asked += 1
            answer = self.gpus[handle].get(question.removeprefix("nvmlDeviceGet"))
            if answer is None:
                raise self.NVMLError("Not Supported")
            return answer(*more) if callable(answer) else answer

        return ask


def memory(used, total=140 * GIB):
    return SimpleNamespace(used=used, total=total, free=total - used)


def working(used=3 * GIB, busy=85):
    """What a GPU at work answers to the questions of `pipeline.telemetry.nvml_usage`."""
    return {
        "MemoryInfo": memory(used),
        "UtilizationRates": SimpleNamespace(gpu=busy, memory=40),
        "PowerUsage": 431_500,
        "Temperature": lambda sensor: 61,
        "PcieThroughput": lambda counter: {0: 1_200, 1: 24_000_000}[counter],
    }
