"""diffusers' transformer with the weights of ours, and batches that both can run."""

from dataclasses import dataclass, replace

import torch

from zcurate.model.config import PRESETS
from zcurate.model.init import new_model
from zcurate.model.model import Features
from zcurate.model.packed import Sample
from zcurate.model.packing import pack_siglip, patchify, plan, unpatchify
from zcurate.model.weights import in_memory, load_weights

TINY = replace(PRESETS["tiny"], in_channels=16, omni_quirks=True)
OMNI = TINY.with_siglip(48)


def peer_of(config, std=0.15):
    """diffusers' model, every weight random and none zero."""
    from diffusers import ZImageTransformer2DModel

    fields = config.to_dict()
    del fields["_class_name"]
    peer = ZImageTransformer2DModel(**fields).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in peer.parameters():
            parameter.normal_(0, std, generator=generator)
    return peer


def ours_of(peer, config):
    model = new_model(config)
    load_weights(model, in_memory(peer.state_dict()))
    return model.eval()


def random_model(config, std=0.15, seed=1):
    """Ours, every weight random and none zero."""
    model = new_model(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, std, generator=generator)
    return model.eval()


@dataclass
class Batch:
    """Random inputs of the samples, as lists per sample."""

    samples: list[Sample]
    targets: list[torch.Tensor]
    text: list[list[torch.Tensor]]
    references: list[list[torch.Tensor]]
    siglip: list[list[torch.Tensor] | None]
    t: torch.Tensor

    @classmethod
    def random(cls, samples, config, t, seed=0):
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape):
            return torch.randn(*shape, generator=generator)

        return cls(
            samples=list(samples),
            targets=[normal(config.in_channels, *s.size) for s in samples],
            text=[[normal(n, config.cap_feat_dim) for n in s.text] for s in samples],
            references=[[normal(config.in_channels, *size) for size in s.references] for s in samples],
            siglip=[
                None
                if s.siglip is None
                else [normal(*size, config.siglip_feat_dim) for size in s.siglip if size is not None]
                for s in samples
            ],
            t=torch.tensor(t),
        )

    def alone(self, i):
        """The batch of sample i alone."""
        one = slice(i, i + 1)
        return Batch(
            self.samples[one], self.targets[one], self.text[one], self.references[one], self.siglip[one],
            self.t[one] if len(self.t) > 1 else self.t,
        )  # fmt: skip

    def features(self, config):
        references = [x for group in self.references for x in group]
        siglip = [x for group in self.siglip for x in group or ()]
        return Features(
            torch.cat([x for group in self.text for x in group]),
            patchify(references) if references else None,
            pack_siglip(siglip, config) if siglip else None,
        )

    def run(self, model):
        """Our velocities, one latent per sample."""
        layout = plan(self.samples, model.config)
        out = model(patchify(self.targets), self.t, self.features(model.config), layout)
        return unpatchify(out, layout.sizes)

    def run_peer(self, peer):
        """diffusers' output, one latent per sample."""
        if self.samples[0].omni:
            images = [
                [x[:, None] for x in (*r, x1)] for r, x1 in zip(self.references, self.targets, strict=True)
            ]
            siglip = [None if s is None else [*s, None] for s in self.siglip]
            masks = [[0] * len(s.references) + [1] for s in self.samples]
            out = peer(images, self.t, self.text, siglip_feats=siglip, image_noise_mask=masks).sample
        else:
            out = peer([x[:, None] for x in self.targets], self.t, [x[0] for x in self.text]).sample
        return [x[:, 0] for x in out]


def worst(ours, theirs):
    """The largest difference over the largest magnitude, of the worst sample."""
    return max(
        float(((a - b).abs().max() / b.abs().max()).detach()) for a, b in zip(ours, theirs, strict=True)
    )
