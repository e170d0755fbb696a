#!/bin/sh
# `docker run IMAGE run conf/flights.yaml` is `python -m pipeline run conf/flights.yaml`; the other
# programs of the image are named first: `dask scheduler`, `dask worker`, `dask cuda worker`, `sh`.
set -eu
case "${1-}" in
  dask | python | python3 | sh | bash) exec "$@" ;;
  *) exec python -m pipeline "$@" ;;
esac
