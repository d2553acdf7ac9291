"""The commands that need more packages than a machine has that only reads: the extra `prepare`."""

from prep.commands.adopt import adopt_command
from prep.commands.backup import backup_command
from prep.commands.dataset import dataset_group
from prep.commands.download import download_command
from prep.commands.notify import notify_command
from prep.commands.organize import organize_command
from prep.commands.pack import pack_command
from prep.commands.plan import plan_command
from prep.commands.restore import restore_command
from prep.commands.run import run_command
from prep.commands.snapshot import snapshot_command
from prep.commands.status import status_command
from prep.commands.verify import verify_command
from prep.owner.cli import COMMANDS as OWNERS_COMMANDS

COMMANDS = (
    adopt_command,
    backup_command,
    dataset_group,
    download_command,
    notify_command,
    organize_command,
    pack_command,
    plan_command,
    restore_command,
    run_command,
    snapshot_command,
    status_command,
    verify_command,
    *OWNERS_COMMANDS,
)
