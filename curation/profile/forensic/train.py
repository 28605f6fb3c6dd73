"""Train the forensic classifier from any folder of photographs; no generated picture is needed.

    python -m zcurate.curation.profile.forensic.train --photos photos/ --out weights.safetensors

Small autoencoders are trained on the photographs; their reconstructions are the positives, the very same
photographs the negatives, and each pair goes through one random history of resizing and compression. One
core, about 12 minutes with the defaults. The same photographs, seed, thread count and library versions
give the same file. The last line printed is JSON: what was measured on photographs held back.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from .autoencoders import FAMILIES, Family, fit_autoencoder, match_bands, psnr_db, reconstruct
from .calibrate import calibrate, picture_evidence, separation_auc
from .crops import CROP_PX
from .errors import ForensicTrainingError
from .history import apply_history, random_history, roughen, soften
from .model import write_weights
from .network import ResidualNetwork
from .photos import cut_patches, find_photos, load_photos

#: Grey levels between neighbors below which a crop is not trained on: it shows nothing.
_FLAT_LEVELS = 0.4
#: Photographs that are softened, on top of what their history does.
_SOFTENED_SHARE = 0.35
#: Reconstructions that are sharpened, grained or dithered, likewise.
_ROUGHENED_SHARE = 0.35


@dataclass(frozen=True)
class Bank:
    """Patches of photographs, and what each autoencoder made of them.

    Attributes:
        real: uint8 [n, side, side, 3].
        made: by family name, uint8 of the same shape; row i is made of `real[i]`.
        psnr_db: by family name, of the unperturbed third.
    """

    real: np.ndarray
    made: dict[str, np.ndarray]
    psnr_db: dict[str, float]


def make_banks(
    photos: Sequence[np.ndarray],
    checks: Sequence[np.ndarray],
    patches: int,
    check_patches: int,
    steps: int,
    seed: int,
    families: Sequence[Family] = FAMILIES,
) -> tuple[Bank, Bank]:
    """Train every autoencoder on `photos`, and reconstruct patches of both lists.

    Returns:
        The bank of `photos`, and that of `checks`, pictures no autoencoder was trained on.
    """
    rng = np.random.default_rng(seed)
    reals = cut_patches(photos, patches, rng), cut_patches(checks, check_patches, rng)
    banks = tuple(Bank(real, {}, {}) for real in reals)
    for i, family in enumerate(families):
        model = fit_autoencoder(family, reals[0], steps, seed + i)
        for bank in banks:
            made = reconstruct(model, bank.real, seed + i)
            bank.psnr_db[family.name] = round(psnr_db(made[::3], bank.real[::3]), 1)
            # the fourth quarter stays as soft as it came out
            for row in (row for row in range(len(made)) if row // 3 % 4):
                made[row] = match_bands(made[row], bank.real[row])
            bank.made[family.name] = made
        print(
            f"autoencoder {family.name}: {banks[1].psnr_db[family.name]} dB on unseen photographs", flush=True
        )
    return banks


def training_batch(bank: Bank, pairs: int, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Crops of photographs and of reconstructions at the same places after the same histories.

    Returns:
        float32 [2 * pairs, 3, CROP_PX, CROP_PX] in 0..255, and labels [2 * pairs], 1 = reconstruction.
    """
    crops, families = [], list(bank.made)
    while len(crops) < 2 * pairs:
        i, made = int(rng.integers(len(bank.real))), bank.made[families[int(rng.integers(len(families)))]]
        history = random_history(rng)
        real = apply_history(bank.real[i], history)
        top = int(rng.integers(0, real.shape[0] - CROP_PX + 1))
        left = int(rng.integers(0, real.shape[1] - CROP_PX + 1))
        place = np.s_[top : top + CROP_PX, left : left + CROP_PX]
        green = real[place][..., 1].astype(np.int16)
        # a few plain places are let through, to end a search in plain pictures
        if np.abs(np.diff(green)).mean() < _FLAT_LEVELS and rng.random() < 0.9:
            continue
        if rng.random() < _SOFTENED_SHARE:
            # photographs out of focus or cleaned of noise are photographs
            real = apply_history(soften(bank.real[i], rng), history)
        generated = made[i]
        if rng.random() < _ROUGHENED_SHARE:
            # and noise or sharpness alone make no photograph
            generated = roughen(generated, rng)
        crops += [real[place], apply_history(generated, history)[place]]
    pixels = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float()
    return pixels, torch.tensor([0.0, 1.0]).repeat(pairs)


def fit_network(bank: Bank, steps: int, seed: int, pairs: int = 48) -> ResidualNetwork:
    """Train the classifier on pairs out of the bank."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = ResidualNetwork().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    running = 0.69
    for step in range(steps):
        crops, labels = training_batch(bank, pairs, rng)
        loss = F.binary_cross_entropy_with_logits(network(crops), 0.05 + 0.9 * labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        running += 0.02 * (float(loss.detach()) - running)
        if step % 200 == 199:
            print(f"network step {step + 1}: loss {running:.3f}", flush=True)
    return network.eval()


def train(
    folders: Sequence[Path],
    out: Path,
    seed: int = 0,
    patches: int = 1800,
    autoencoder_steps: int = 500,
    network_steps: int = 1300,
    check_share: float = 0.15,
) -> dict[str, object]:
    """Train on photographs, calibrate on a share held back, write the weights.

    Returns:
        What was measured on the share held back; also written into the file.

    Raises:
        ForensicTrainingError: fewer than four usable photographs.
    """
    photos = load_photos(find_photos(folders))
    if len(photos) < 4:
        raise ForensicTrainingError(
            f"{len(photos)} usable photographs (both sides 144 px or more); give four"
        )
    order = np.random.default_rng(seed).permutation(len(photos))
    held = max(1, round(check_share * len(photos)))
    checks, rest = [photos[i] for i in order[:held]], [photos[i] for i in order[held:]]
    bank, check_bank = make_banks(rest, checks, patches, max(8, patches * 3 // 20), autoencoder_steps, seed)
    arrays = fit_network(bank, network_steps, seed).folded()
    real, made = picture_evidence(arrays, check_bank, checks, seed)
    calibration = calibrate(real, np.concatenate(list(made.values())))
    facts: dict[str, object] = {
        "photos": len(rest),
        "photos_held_back": len(checks),
        "seed": seed,
        "autoencoder_psnr_db": check_bank.psnr_db,
        "own_auc": {name: round(separation_auc(real, values), 3) for name, values in made.items()},
        "own_false_positives": round(float(np.mean(real > calibration.threshold)), 4),
    }
    write_weights(out, arrays, calibration, facts)
    return {**facts, "calibration": asdict(calibration)}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m zcurate.curation.profile.forensic.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--photos", nargs="+", type=Path, required=True, help="folders or files of photographs"
    )
    parser.add_argument("--out", type=Path, required=True, help="weight file to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--patches", type=int, default=1800, help="photo patches in the bank (default 1800)")
    parser.add_argument("--autoencoder-steps", type=int, default=500, help="per autoencoder (default 500)")
    parser.add_argument("--network-steps", type=int, default=1300, help="of the classifier (default 1300)")
    arguments = parser.parse_args()
    # more threads sum in another order, and the file would differ
    torch.set_num_threads(1)
    try:
        measured = train(
            arguments.photos,
            arguments.out,
            arguments.seed,
            arguments.patches,
            arguments.autoencoder_steps,
            arguments.network_steps,
        )
    except ForensicTrainingError as e:
        parser.exit(2, f"{e}\n")
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
