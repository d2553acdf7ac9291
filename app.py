"""The CDK app, which builds the stacks from checked settings."""

import os
import sys

from aws_cdk import App, Environment, Tags, Validations
from cdk_nag import AwsSolutionsChecks

from prep import contract
from stacks.cluster import ClusterStack
from stacks.dataset import DatasetStack
from stacks.prep import PrepStack
from stacks.settings import SettingsError, load_settings
from stacks.training import TrainingStack


def main() -> None:
    """Synthesizes the app; a wrong setting ends it with one line and exit status 2."""
    app = App()
    try:
        build(app)
    except SettingsError as error:
        sys.exit(_complain(error))
    app.synth()


def build(app: App) -> None:
    """Builds the stacks from the settings in the app's context.

    Raises:
        SettingsError: a setting is wrong.
    """
    settings, dataset = load_settings(app.node.get_all_context())
    env = Environment(
        account=settings.account or os.environ.get("CDK_DEFAULT_ACCOUNT"),
        region=settings.region or os.environ.get("CDK_DEFAULT_REGION"),
    )
    # This tag is on every resource. Cost reports and the conditions of the policies use it.
    Tags.of(app).add(contract.TAG_DATASET, dataset.name)
    base = DatasetStack(
        app,
        "Dataset",
        stack_name=contract.stack_name(dataset.name, "dataset"),
        env=env,
        settings=settings,
        dataset=dataset,
    )
    PrepStack(
        app,
        "Prep",
        stack_name=contract.stack_name(dataset.name, "prep"),
        env=env,
        settings=settings,
        dataset=dataset,
        base=base,
    )
    TrainingStack(
        app,
        "Training",
        stack_name=contract.stack_name(dataset.name, "training"),
        env=env,
        settings=settings,
        dataset=dataset,
        base=base,
    )
    if settings.cluster_workers:
        ClusterStack(
            app,
            "Cluster",
            stack_name=contract.stack_name(dataset.name, "cluster"),
            env=env,
            settings=settings,
            dataset=dataset,
            base=base,
        )
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def _complain(error: SettingsError) -> int:
    print(error, file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
