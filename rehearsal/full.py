"""The long road: everything that goes wrong, and everywhere that the data can go.

`python -m rehearsal --full`. The prep instance is interrupted in each stage, replaced, and destroyed in the
middle; a training instance fails; the data set goes to another Region and another account.
"""

from rehearsal.preparation import Road
from rehearsal.steps import watching
from rehearsal.steps.deployment import deploy
from rehearsal.steps.elsewhere import another_account, another_region
from rehearsal.steps.ending import inspect, tear_down
from rehearsal.steps.interruptions import (
    bytes_on_disk,
    change_on_the_way,
    destroy_and_deploy_again,
    nothing_fetched_twice,
    replace_instance,
    stop_and_start,
    stop_and_start_while_held,
)
from rehearsal.steps.preparing import follow_prep, prep_service
from rehearsal.steps.training import copy_in_the_zone, fail_to_mount, launch, read_first_batches
from rehearsal.steps.trials import refuse_forbidden_calls

# Of the archives' bytes: slow enough that there is a middle, fast enough not to be waited for.
BYTES_A_SECOND = 3_000_000
CRAWL = 100_000
# So that every statement of every role is deployed. `prep.owner share` needs a key of one's own.
SETTINGS = {"key": "new", "restore": "auto", "log_retention_days": "30"}


def full_road(road: Road) -> None:
    deploy(road)
    change_on_the_way(road)
    road.site.hurry(CRAWL)  # so that there is work to be killed
    watching.called_dead(road, prep_service(road))
    road.site.hurry(BYTES_A_SECOND)
    interrupt_the_download(road)
    key = f"s3:PutObject {road.name}/packed"
    road.cloud.hold(f"{key}/train.rec")
    there = destroy_and_deploy_again(road)
    road.site.hurry(None)
    stop_and_start_while_held(road, "merge and verify", f"{key}/classes.tsv")
    stop_and_start_while_held(road, "backup", "ssm:PutParameter")
    stop_and_start_while_held(road, "snapshot, which is complete but not published")
    prep = follow_prep(road)
    watching.at_the_end(road)
    nothing_fetched_twice(road, there)
    gpus = launch(road)
    read_first_batches(road, gpus)
    fail_to_mount(road)
    inspect(road, gpus)
    refuse_forbidden_calls(road, prep, gpus)
    copy_in_the_zone(road, gpus[0])
    another_region(road)
    another_account(road)
    tear_down(road, gpus)


def interrupt_the_download(road: Road) -> None:
    """While archives arrive, each unit is organized, packed and sent to S3 as well."""
    marks = [0]

    def more() -> bool:
        if (now := bytes_on_disk(road)) > marks[-1]:
            marks.append(now)
            return True
        return False

    stop_and_start(road, "download", more)
    stop_and_start(road, "organize and pack, in the pass over the archives", more)
    road.site.hurry(CRAWL)  # a deployment takes a while, and the download must not end meanwhile
    address = road.site.url.replace("127.0.0.1", "localhost")
    replace_instance(road, "the site has another address", "source", address)
