#!/bin/bash
# Encode a corpus on four machines with eight GPUs each, under Slurm:
#   sbatch docker/jobs/slurm-encode.sh CORPUS OUT
# OUT lies where all machines see it. Sent again after a time limit, it goes on where it was.
#SBATCH --job-name=sparse-ir-encode
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=32
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@120
set -euo pipefail

corpus=$1
out=$2
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)

srun torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "${GPUS_PER_NODE:-8}" \
    --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d --rdzv-endpoint "$first:29500" \
    -m sparse_ir encode --corpus "$corpus" --out "$out" --precision bf16 --resume
