"""Which slices of an evaluation are worth a look."""

from collections.abc import Sequence

from anomask.report.record.figures import ScoredSlice


def worst(slices: Sequence[ScoredSlice], count: int) -> dict[str, str]:
    """Return the most confident errors: abnormal slices of lowest and normal ones of highest score, name -> why."""
    ranked = sorted(slices, key=lambda scored: scored.score)
    misses = {s.name: "lowest score of the abnormal slices" for s in [s for s in ranked if s.disease][:count]}
    alarms = {s.name: "highest score of the normal slices" for s in [s for s in ranked if not s.disease][::-1][:count]}
    return misses | alarms


def choose_pictures(slices: Sequence[ScoredSlice], count: int) -> dict[str, str]:
    """Choose slices: the worst misses and false alarms, then slices of each disease by turns, name -> why."""
    chosen = worst(slices, count // 4)
    ranked = sorted(slices, key=lambda scored: scored.score)
    diseases = sorted({s.disease for s in ranked})
    queues = {disease: [s for s in ranked if s.disease == disease and s.name not in chosen] for disease in diseases}
    while len(chosen) < count and any(queues.values()):
        for disease, queue in queues.items():
            if queue and len(chosen) < count:
                chosen[queue.pop(len(queue) // 2).name] = "median score of " + (disease or "normal")
    return chosen
