"""The mailbox keeps what a topic delivers."""

import boto3
import pytest

from rehearsal.servers.mailbox import Letter, Mailbox


@pytest.mark.usefixtures("aws")
def test_a_letter() -> None:
    sns = boto3.client("sns")
    topic = sns.create_topic(Name="notices")["TopicArn"]
    with Mailbox() as mailbox:
        sns.subscribe(TopicArn=topic, Protocol="http", Endpoint=mailbox.url)
        sns.publish(TopicArn=topic, Subject="ready", Message="all is done")
        assert mailbox.letters == [Letter(topic, "ready", "all is done")]
