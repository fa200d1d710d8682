"""The losses that train nothing beside the student, as one writes them in PyTorch: vectorised, from its own functions.

Each takes what learns and what is given, two dictionaries under the names of `benches/src/losses`, and gives the value. The
constants are the defaults of kd.
"""

import math

import torch
import torch.nn.functional as F


def kl(log_p, log_q):
    """KL(p || q), the mean over the first axis."""
    return F.kl_div(log_q, log_p, reduction="batchmean", log_target=True)


def both(x, g, t=1.0, dim=1):
    """log p of the teacher and log q of the student, softened."""
    teacher = g["teacher"] if "teacher" in g else x["teacher"]
    return F.log_softmax(teacher / t, dim), F.log_softmax(x["student"] / t, dim)


def softened(t):
    return lambda x, g: kl(*both(x, g, t)) * t * t


def flat(map):
    return map.flatten(2)


# --- logits --------------------------------------------------------------------------------------------------------------


def dkd(x, g):
    t, targets = 4.0, g["targets"][:, None]
    mask = torch.zeros_like(x["student"]).scatter_(1, targets, 1.0)
    target_part, other_part = [], []
    for logits in (g["teacher"], x["student"]):
        logits = logits / t
        log_p = F.log_softmax(logits, 1).gather(1, targets)
        others = logits - 1000 * mask
        log_rest = torch.logsumexp(others, 1, keepdim=True) - torch.logsumexp(logits, 1, keepdim=True)
        target_part.append(torch.cat([log_p, log_rest], 1))
        other_part.append(F.log_softmax(others, 1))
    return (kl(*target_part) + 8 * kl(*other_part)) * t * t


def dist(x, g):
    p, q = (log.exp() for log in both(x, g))

    def correlation(a, b, dim):
        a, b = a - a.mean(dim, keepdim=True), b - b.mean(dim, keepdim=True)
        return F.cosine_similarity(a, b, dim=dim, eps=1e-8).mean()

    return (1 - correlation(q, p, 1)) + (1 - correlation(q, p, 0))


def nkd(x, g):
    targets = g["targets"][:, None]
    log_p, log_q = both(x, g)
    target_part = (log_p.gather(1, targets).exp() * log_q.gather(1, targets)).mean()
    mask = torch.zeros_like(x["student"]).scatter_(1, targets, 1.0)
    P = F.softmax(g["teacher"] - 1000 * mask, 1)
    other_part = (P * F.log_softmax(x["student"] - 1000 * mask, 1)).sum(1).mean()
    return -target_part - 1.5 * other_part


def wsld(x, g):
    t = 2.0
    with torch.no_grad():
        student, teacher = (F.cross_entropy(one, g["targets"], reduction="none") for one in (x["student"], g["teacher"]))
        weight = 1 - torch.exp(-student / (teacher + 1e-7))
    log_p, log_q = both(x, g, t)
    each = F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1)
    return (weight * each).mean() * t * t


def logit_standardisation(x, g):
    def unit(logits):
        return (logits - logits.mean(1, keepdim=True)) / (logits.std(1, keepdim=True) + 1e-7)

    return softened(2.0)({"student": unit(x["student"])}, {"teacher": unit(g["teacher"])})


def mlkd(x, g):
    batch, classes = x["student"].shape
    total = 0.0
    for t in (2.0, 3.0, 4.0, 5.0, 6.0):
        log_p, log_q = both(x, g, t)
        p, q = log_p.exp(), log_q.exp()
        total = total + kl(log_p, log_q) * t * t
        total = total + (q @ q.T - p @ p.T).square().sum() / batch
        total = total + (q.T @ q - p.T @ p).square().sum() / classes
    return total


def virtual_teacher(x, g):
    a, t, classes = 0.99, 20.0, x["student"].shape[1]
    u = torch.full_like(x["student"], (1 - a) / (classes - 1)).scatter_(1, g["targets"][:, None], a)
    return kl(F.log_softmax(u / t, 1), F.log_softmax(x["student"], 1))


def reverse_kl(x, g):
    log_p, log_q = both(x, g)
    return kl(log_q, log_p)


def jensen_shannon(x, g):
    log_p, log_q = both(x, g)
    log_m = torch.logaddexp(log_p, log_q) - math.log(2)
    return 0.5 * kl(log_p, log_m) + 0.5 * kl(log_q, log_m)


def adversarial_kl(x, g):
    log_p, log_q = both(x, g)
    mask = x["student"].argmax(1) == x["teacher"].argmax(1)
    return -(F.kl_div(log_q, log_p, reduction="none", log_target=True).sum(1) * mask).mean()


LOGITS = {
    "cross-entropy": lambda x, g: F.cross_entropy(x["student"], g["targets"]),
    "kd": softened(4.0),
    "logit-regression": lambda x, g: 0.5 * (x["student"] - g["teacher"]).square().sum(1).mean(),
    "dkd": dkd,
    "dist": dist,
    "nkd": nkd,
    "wsld": wsld,
    "logit-standardisation": logit_standardisation,
    "mlkd": mlkd,
    "virtual-teacher": virtual_teacher,
    "reverse-kl": reverse_kl,
    "jensen-shannon": jensen_shannon,
    "soft-cross-entropy": lambda x, g: F.cross_entropy(x["student"] / 4, F.softmax(g["teacher"] / 4, 1)) * 16,
    "adversarial-kl": adversarial_kl,
    "belief-matching": softened(1.0),
    "logit-l1": lambda x, g: F.l1_loss(x["student"], x["teacher"]),
}


def cwd(x, g):
    t = 4.0
    log_p, log_q = (F.log_softmax(flat(map) / t, 2) for map in (g["teacher"], x["student"]))
    return kl(log_p.flatten(0, 1), log_q.flatten(0, 1)) * t * t


def pixel_wise(x, g):
    batch, _, height, width = x["student"].shape
    return kl(*both(x, g)) / (height * width)


def pair_wise_affinity(x, g):
    def affinities(map):
        patch = [max(1, size // 2) for size in map.shape[2:]]
        f = F.normalize(flat(F.max_pool2d(map, patch, ceil_mode=True)), dim=1)
        return f.mT @ f

    return F.mse_loss(affinities(x["student"]), affinities(g["teacher"]))


DENSE = {"cwd": cwd, "pixel-wise": pixel_wise, "pair-wise-affinity": pair_wise_affinity}

# --- features ------------------------------------------------------------------------------------------------------------


def of_both(transform):
    """The mean squared difference of what `transform` makes of student and teacher."""
    return lambda x, g: F.mse_loss(transform(x["student"]), transform(g["teacher"]))


def attention(map):
    return F.normalize(map.square().mean(1).flatten(1), eps=1e-12)


def similarities(map):
    rows = map.flatten(1)
    return F.normalize(rows @ rows.T)


def standardised(map):
    variance, mean = torch.var_mean(map, (0, 2, 3), correction=0, keepdim=True)
    return (map - mean) * variance.rsqrt()


def distances(rows):
    gram = rows @ rows.T
    squares = gram.diagonal()
    d = (squares[:, None] + squares[None, :] - 2 * gram).clamp_min(1e-12).sqrt()
    return d.masked_fill(torch.eye(len(d), dtype=torch.bool), 0.0)


def relative_distances(rows):
    d = distances(rows)
    return d / (d.sum() / (len(d) * (len(d) - 1)))


def cosines(rows):
    e = F.normalize(rows[None, :] - rows[:, None], dim=2)
    return e @ e.mT


def pkt(x, g):
    def probabilities(rows):
        unit = F.normalize(rows)
        kernel = (unit @ unit.T + 1) / 2
        return kernel / kernel.sum(1, keepdim=True)

    p, q = probabilities(g["teacher"]), probabilities(x["student"])
    return (p * ((p + 1e-7).log() - (q + 1e-7).log())).mean()


def taylor(rows):
    unit = F.normalize(rows)
    c = unit @ unit.T
    return math.exp(-0.8) * (1 + 0.8 * c + 0.32 * c * c)


def info_nce(x, g):
    logits = F.normalize(x["student"]) @ F.normalize(g["teacher"]).T / 0.07
    return F.cross_entropy(logits, torch.arange(len(logits)))


def nst(x, g):
    s, t = (F.normalize(flat(map), dim=2) for map in (x["student"], g["teacher"]))
    mean = lambda a, b: (a @ b.mT).square().mean()
    return mean(s, s) + mean(t, t) - 2 * mean(s, t)


def ickd(x, g):
    def correlations(map):
        return F.normalize(flat(map) @ flat(map).mT, dim=2)

    return (correlations(x["student"]) - correlations(g["teacher"])).square().sum(2).mean()


def fsp(x, g):
    def flow(first, second):
        first = flat(F.max_pool2d(first, first.shape[2] // second.shape[2]))
        return first @ flat(second).mT / first.shape[2]

    difference = flow(x["student0"], x["student1"]) - flow(g["teacher0"], g["teacher1"])
    return difference.square().sum((1, 2)).mean()


def kdsvd(x, g):
    k, spare, width = 1, 3, 8.0

    def vectors(student, teacher):
        """Right singular vectors from the matrices of the channels, each of the student beside the teacher's nearest."""
        with torch.no_grad():
            values, t = torch.linalg.eigh(flat(teacher) @ flat(teacher).mT)
            values, t = values[:, -k:].flip(1), t[:, :, -k:].flip(2)
            t = t * (values / values.sum(1, keepdim=True)).sqrt()[:, None] * t.sum(1, keepdim=True).sign()
        s = torch.linalg.eigh(flat(student) @ flat(student).mT)[1][:, :, -k - spare :]
        cosines = (t.mT @ s).detach()
        best = cosines.abs().argmax(2)
        s = s.gather(2, best[:, None].expand(-1, s.shape[1], -1)) * cosines.gather(2, best[:, :, None])[:, :, 0].sign()[:, None]
        return s * t.norm(dim=1, keepdim=True), t

    layers = [vectors(x[f"student{i}"], g[f"teacher{i}"]) for i in range(2)]
    relation = lambda side: torch.exp(-(layers[1][side][:, :, None] - layers[0][side][:, None]).square() / width)
    return (relation(0) - relation(1)).square().sum() / len(x["student0"])


FEATURES = {
    "hint": of_both(lambda map: map),
    "attention-transfer": of_both(attention),
    "sp": of_both(similarities),
    "rkd-distance": lambda x, g: F.smooth_l1_loss(relative_distances(x["student"]), relative_distances(g["teacher"])),
    "rkd-angle": lambda x, g: F.smooth_l1_loss(cosines(x["student"]), cosines(g["teacher"])),
    "pkt": pkt,
    "cc": of_both(taylor),
    "pkd": lambda x, g: 0.5 * of_both(standardised)(x, g),
    "info-nce": info_nce,
    "nst": nst,
    "fsp": fsp,
    "ickd": ickd,
    "kdsvd": kdsvd,
}
