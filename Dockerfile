# The harness on a host with NVIDIA GPUs, with the packages that the current record of the short track needs.
# docs/gpu-host.md says how to build and start it, and what of it was never tried.

# Ubuntu 24.04 has Python 3.12, which the newer records ran with. The packages of torch bring CUDA along, so the base
# needs no toolkit. For a build that can be repeated, name the base by digest: --build-arg BASE=nvidia/cuda@sha256:…
ARG BASE=nvidia/cuda:12.8.1-base-ubuntu24.04
FROM ${BASE}

# gcc, g++ and python3-dev: Triton and inductor compile for the host. bubblewrap: the best confinement of a run.
RUN apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
    bubblewrap ca-certificates g++ gcc git python3 python3-dev python3-venv && rm -rf /var/lib/apt/lists/*

# Nothing runs as root. The home folder holds the checkout, its runs, the tokens and the environments: one volume keeps all.
RUN useradd --create-home --shell /bin/bash racer
USER racer
WORKDIR /home/racer/speedrun
COPY --chown=racer:racer . .

RUN bash -c '. ./setup_env.sh && setup_env train'
# For a track this is its current record; a script runs in it with `speedrun run … --env short`.
ARG RECORD=short
RUN .venv/bin/speedrun doctor ${RECORD} --make

ENV PATH=/home/racer/speedrun/.venv/bin:$PATH
VOLUME /home/racer
# Each check asks nvidia-smi once; a timed session can be started with --no-healthcheck.
HEALTHCHECK --interval=5m --timeout=30s --start-period=30s CMD speedrun doctor
CMD ["bash"]
