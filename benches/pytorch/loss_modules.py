"""The losses that train modules beside the student, and the priors, in PyTorch; see `loss_formulas.py`.

A module's parameters are given as `weight.NAME`. Batch norms are in training form where gradients are computed, else in
inference form, as in kd. Random draws are made anew in each call, as in kd, unless the draws of kd are given too.
"""

import itertools
import math

import numpy as np
import torch
import torch.nn.functional as F

MASK_RATIO = 0.5
NEGATIVES, TEMPERATURE, MOMENTUM = 16384, 0.07, 0.5


class Weights:
    """The parameters below a name."""

    def __init__(self, given, path="weight"):
        self.given, self.path = given, path

    def __getitem__(self, name):
        return Weights(self.given, f"{self.path}.{name}")

    def tensor(self, name):
        return self.given.get(f"{self.path}.{name}")

    def conv(self, x):
        weight = self.tensor("weight")
        return F.conv2d(x, weight, self.tensor("bias"), padding=weight.shape[2] // 2)

    def linear(self, x):
        return F.linear(x, self.tensor("weight"), self.tensor("bias"))

    def norm(self, x, training=None):
        training = torch.is_grad_enabled() if training is None else training
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *map(self.tensor, names), training)

    def block(self, x, training=None):
        return self["norm"].norm(self["conv"].conv(x), training)


def of_adapted(adapted, distance=F.mse_loss):
    """A distance between the teacher's map and what `adapted` makes of the student's."""
    return lambda x, g: distance(adapted(x["student"], Weights(g)), g["teacher"])


def vid(x, g):
    w = Weights(g)
    mean = w["mean.0.conv"].conv(x["student"])
    mean = w["mean.1.conv"].conv(F.relu(mean))
    mean = w["mean.2.conv"].conv(F.relu(mean))
    variance = (F.softplus(w.tensor("raw_variance")) + 1e-5).view(1, -1, 1, 1)
    return 0.5 * ((mean - g["teacher"]).square() / variance + variance.log()).mean()


def ofd(x, g):
    s, t = Weights(g)["connector"].block(x["student"]), g["teacher"]
    # Of a normal distribution, whose negative half has this mean.
    t = t.clamp_min(-2 / math.sqrt(2 * math.pi))
    return (F.mse_loss(s, t, reduction="none") * ((s > t) | (t > 0))).sum() / len(t)


def activation_boundary(x, g):
    s, t = Weights(g)["connector"].block(x["student"]), g["teacher"]
    return F.relu(1 - torch.where(t > 0, s, -s)).square().sum() / len(t)


def simkd(student, w):
    for index in range(3):
        student = F.relu(w[f"projector.{index}"].block(student))
    return student


def srrl(x, g):
    a = F.relu(Weights(g)["connector"].block(x["student"])).mean((2, 3))
    b = g["teacher"].mean((2, 3))
    return F.mse_loss(a, b) + F.mse_loss(a @ g["head"], b @ g["head"])


def mgd(x, g):
    w, s, t = Weights(g), x["student"], g["teacher"]
    mask = g["mask"] if "mask" in g else (torch.rand(len(s), 1, *s.shape[2:]) >= MASK_RATIO).to(s.dtype)
    s = w["generation.1.conv"].conv(F.relu(w["generation.0.conv"].conv(s * mask)))
    return F.mse_loss(s, t, reduction="sum") / len(t)


def factor_transfer(x, g):
    w, s, t = Weights(g), x["student"], g["teacher"]
    for index in range(3):
        s = F.leaky_relu(w[f"translator.blocks.{index}"].block(s), 0.1)
    with torch.no_grad():
        for index in range(3):
            t = F.leaky_relu(w[f"encoder.blocks.{index}"].block(t, training=False), 0.1)
    return F.l1_loss(F.normalize(s.flatten(1)), F.normalize(t.flatten(1)))


def hierarchical_context(s, t):
    loss, total = F.mse_loss(s, t), 1.0
    for weight, level in ((0.5, 4), (0.25, 2), (0.125, 1)):
        loss = loss + weight * F.mse_loss(F.adaptive_avg_pool2d(s, level), F.adaptive_avg_pool2d(t, level))
        total += weight
    return loss / total


def reviewkd(x, g):
    w, fused, loss = Weights(g)["stages"], None, 0.0
    for index in (1, 0):
        s, t, stage = x[f"student{index}"], g[f"teacher{index}"], w[str(index)]
        s = stage["reduce_norm"].norm(stage["reduce"].conv(s))
        if fused is not None:
            deeper = F.interpolate(fused, s.shape[2:], mode="nearest")
            share = torch.sigmoid(stage["attention"].conv(torch.cat([s, deeper], 1)))
            s = s * share[:, :1] + deeper * share[:, 1:]
        fused = s
        loss = loss + hierarchical_context(stage["expand_norm"].norm(stage["expand"].conv(s)), t)
    return loss


def semckd(x, g):
    w = Weights(g)
    students, teachers = ([maps[f"{name}{i}"] for i in range(2)] for maps, name in ((x, "student"), (g, "teacher")))

    def described(maps, name):
        rows = []
        for index, map in enumerate(maps):
            mlp, gram = w[f"{name}.{index}"], map.flatten(1) @ map.flatten(1).T
            rows.append(F.normalize(mlp["output"].linear(F.relu(mlp["hidden"].linear(gram)))))
        return torch.stack(rows, 1)

    attention = F.softmax(described(students, "queries") @ described(teachers, "keys").mT, 2)
    differences = []
    for index, (s, t) in enumerate(itertools.product(students, teachers)):
        size = [min(a, b) for a, b in zip(s.shape[2:], t.shape[2:])]
        s, t = (map if list(map.shape[2:]) == size else F.adaptive_avg_pool2d(map, size) for map in (s, t))
        p = w[f"projections.{index}"]
        s = F.relu(p["widen_norm"].norm(p["widen"].conv(s)))
        s = F.relu(p["mix_norm"].norm(p["mix"].conv(s)))
        differences.append(F.mse_loss(p["narrow"].conv(s), t, reduction="none").mean((1, 2, 3)))
    differences = torch.stack(differences, 1).view_as(attention)
    return (attention * differences).sum() / attention.shape[:2].numel()


def crd(x, g):
    """The bank is multiplied as a whole: it has three rows for each candidate, and to gather them takes longer."""
    w, ids = Weights(g), g["ids"]
    sides = {"student": F.normalize(w["student"].linear(x["student"])), "teacher": F.normalize(w["teacher"].linear(g["teacher"]))}
    samples = len(g["student-bank"])
    candidates = g.get("candidates")
    if candidates is None:
        others = torch.randint(samples - 1, (len(ids), NEGATIVES))
        others += others >= ids[:, None]
        candidates = torch.cat([ids[:, None], others], 1)
    total = 0.0
    for side, other in (("student", "teacher"), ("teacher", "student")):
        scores = (sides[side] / TEMPERATURE @ g[f"{other}-bank"].T).gather(1, candidates)
        if f"{side}-log-z" not in g:
            with torch.no_grad():
                g[f"{side}-log-z"] = scores.flatten().logsumexp(0) + math.log(samples / scores.numel())
        odds = scores - g[f"{side}-log-z"] - math.log(NEGATIVES / samples)
        total = total + (F.softplus(-odds[:, 0]).sum() + F.softplus(odds[:, 1:]).sum()) / len(ids)

    def update():
        for side, embedding in sides.items():
            bank = g[f"{side}-bank"]
            bank[ids] = F.normalize(MOMENTUM * bank[ids] + (1 - MOMENTUM) * embedding.detach())

    # Gradients still need the banks as they are.
    g["afterwards"] = update
    return total


TRAINED = {
    "hint": of_adapted(lambda student, w: w["conv"].conv(student)),
    "vid": vid,
    "ofd": ofd,
    "mgd": mgd,
    "simkd": of_adapted(simkd),
    "srrl": srrl,
    "ab": activation_boundary,
    "crd": crd,
    "reviewkd": reviewkd,
    "ft": factor_transfer,
    "semckd": semckd,
}

# --- the random draws of kd, so that the check sees the same ---------------------------------------------------------------


def splitmix64(seed, index):
    """Draw number `index` of the public generator; both may be arrays."""
    with np.errstate(over="ignore"):
        state = np.uint64(seed) + np.uint64(0x9E3779B97F4A7C15) * (np.uint64(index) + np.uint64(1))
        state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return state ^ (state >> np.uint64(31))


def with_draws(name, x, g):
    """Adds what kd draws at seed 0 in its call number 0."""
    if name == "mgd":
        batch, _, height, width = x["student"].shape
        stream = splitmix64(splitmix64(0, 2**64 - 1), 0)
        draws = splitmix64(stream, np.arange(batch * height * width, dtype=np.uint64)) >> np.uint64(11)
        kept = (draws.astype(np.float64) / 2**53 >= MASK_RATIO).reshape(batch, 1, height, width)
        g["mask"] = torch.from_numpy(kept).to(x["student"].dtype)
    if name == "crd":
        ids, samples = g["ids"].numpy().astype(np.uint64)[:, None], len(g["student-bank"])
        stream = splitmix64(splitmix64(splitmix64(0, 2**64 - 3), 0), ids)
        place = splitmix64(stream, np.arange(NEGATIVES, dtype=np.uint64)[None]) % np.uint64(samples - 1)
        others = (place + (place >= ids)).astype(np.int64)
        g["candidates"] = torch.cat([g["ids"][:, None], torch.from_numpy(others)], 1)


# --- priors --------------------------------------------------------------------------------------------------------------


def batch_entropy(x, g):
    m = F.softmax(x["student"], 1).mean(0)
    return (m * m.log()).sum()


def mode_seeking(x, g):
    ratio = F.l1_loss(x["images"], x["other_images"]) / F.l1_loss(g["codes"], g["other_codes"])
    return 1 / (ratio + 1e-5)


def bn_statistics(x, g):
    total = 0.0
    for index in range(2):
        variance, mean = torch.var_mean(x[f"student{index}"], (0, 2, 3), correction=0)
        total = total + torch.dist(mean, g[f"mean{index}"]) + torch.dist(variance, g[f"variance{index}"])
    return total


def total_variation(x, g):
    i = x["images"]
    differences = (
        i[:, :, :, 1:] - i[:, :, :, :-1],
        i[:, :, 1:] - i[:, :, :-1],
        i[:, :, 1:, 1:] - i[:, :, :-1, :-1],
        i[:, :, 1:, :-1] - i[:, :, :-1, 1:],
    )
    return sum(torch.norm(difference) for difference in differences)


def classifier_diversification(x, g):
    pairs = itertools.combinations(x.values(), 2)
    return sum(torch.norm(left @ right.T) for left, right in pairs)


def prediction_diversification(x, g):
    label = F.one_hot(g["targets"], 100).bool()
    rest = [F.normalize(F.softmax(z, 1)[~label].view(len(z), -1), dim=1) for z in x.values()]
    pairs = list(itertools.combinations(rest, 2))
    return sum((one * other).sum(1).mean() for one, other in pairs) / len(pairs)


PRIORS = {
    "one-hot-confidence": lambda x, g: F.cross_entropy(x["student"], x["student"].argmax(1)),
    "batch-entropy": batch_entropy,
    "activation-norm": lambda x, g: -x["student"].abs().mean(),
    "mode-seeking": mode_seeking,
    "bn-statistics": bn_statistics,
    "total-variation": total_variation,
    "image-l2": lambda x, g: x["images"].flatten(1).norm(dim=1).mean(),
    "increment-penalty": lambda x, g: (x["loss"] - g["reference"]).clamp_max(20).exp(),
    "classifier-diversification": classifier_diversification,
    "prediction-diversification": prediction_diversification,
}
