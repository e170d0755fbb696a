"""NCCL adds up over all GPUs that are visible."""

import json

print("turn:NCCL", flush=True)


def nccl_adds() -> None:
    import cupy
    from cupy.cuda import Device, Stream, nccl

    count = cupy.cuda.runtime.getDeviceCount()
    comms = nccl.NcclCommunicator.initAll(count)
    held = []
    for at in range(count):
        with Device(at):
            held.append(cupy.full(1 << 20, at + 1, dtype=cupy.float32))
    stream = Stream.null.ptr
    nccl.groupStart()
    for at, (comm, own) in enumerate(zip(comms, held, strict=True)):
        with Device(at):
            comm.allReduce(
                own.data.ptr, own.data.ptr, own.size, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, stream
            )
    nccl.groupEnd()
    for at, own in enumerate(held):
        with Device(at):
            assert float(own.min()) == float(own.max()) == count * (count + 1) / 2, "wrong sums"


nccl_adds()
print(json.dumps("proved"))
