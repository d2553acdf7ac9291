"""The road with a Ray cluster: `python -m rehearsal --cluster N`.

The prep instance does all as ever. Then a cluster packs the same archives again, and what it has packed goes
the way to the training instances.
"""

from rehearsal.preparation import Road
from rehearsal.steps.cluster import pack_on_cluster, restore_and_snapshot
from rehearsal.steps.deployment import deploy
from rehearsal.steps.ending import inspect, tear_down
from rehearsal.steps.preparing import follow_prep
from rehearsal.steps.training import launch, read_first_batches
from rehearsal.steps.trials import refuse_forbidden_calls


def cluster_road(road: Road) -> None:
    deploy(road)
    prep = follow_prep(road)
    cluster = pack_on_cluster(road, road.wishes.cluster)
    restore_and_snapshot(road)
    gpus = launch(road)
    read_first_batches(road, gpus)
    inspect(road, gpus)
    refuse_forbidden_calls(road, prep, gpus, cluster)
    tear_down(road, gpus)
