"""A sum with NCCL over all visible GPUs."""

import json

print("turn:NCCL", flush=True)


def nccl_adds() -> None:
    import cupy
    from cupy.cuda import Device, Stream, nccl

    count = cupy.cuda.runtime.getDeviceCount()
    comms = nccl.NcclCommunicator.initAll(count)
    arrays = []
    for at in range(count):
        with Device(at):
            arrays.append(cupy.full(1 << 20, at + 1, dtype=cupy.float32))
    stream = Stream.null.ptr
    nccl.groupStart()
    for at, (comm, array) in enumerate(zip(comms, arrays, strict=True)):
        with Device(at):
            comm.allReduce(
                array.data.ptr, array.data.ptr, array.size, nccl.NCCL_FLOAT32, nccl.NCCL_SUM, stream
            )
    nccl.groupEnd()
    for at, array in enumerate(arrays):
        with Device(at):
            assert float(array.min()) == float(array.max()) == count * (count + 1) / 2, "wrong sums"


nccl_adds()
print(json.dumps("passed"))
