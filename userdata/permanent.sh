#!/usr/bin/env bash
# Functions for volumes that outlive instances: only prep.sh has such. It comes after volume.sh, whose functions it uses.

wait_for() { # SECONDS WHAT COMMAND...: as wait_until, but dies after SECONDS, and names WHAT
  wait_until "$1" "${@:3}" || die "waited $1 s for $2"
}

# held_by_another VOLUME: prints the instance that holds the volume if that is not this one.
held_by_another() {
  local state _ holder
  state="$(volume_state "$1")" || die "could not look up volume $1"
  read -r _ holder _ <<<"${state}"
  if [[ ${holder} == i-* && ${holder} != "${INSTANCE_ID:?}" ]]; then
    printf '%s' "${holder}"
  fi
}

# format_if_blank DEVICE LABEL: an ext4 file system on a device that holds nothing; any signature is kept.
# blkid exits with 2, and without a word, both for "no signature" and for a device that it cannot read: only
# a readable, all-zero beginning makes a device blank.
format_if_blank() {
  local -r device="$1" label="$2"
  local found status=0
  found="$(blkid --probe --output export "${device}" 2>&1)" || status=$?
  if ((status == 0)); then
    if [[ $'\n'${found}$'\n' != *$'\n'"LABEL=${label}"$'\n'* || ${found} != *$'\n'TYPE=ext4* ]]; then
      die "${device} holds something other than the file system ${label}, and stays as it is: ${found//$'\n'/ }"
    fi
    log "${device} has the file system ${label}"
    return
  fi
  if ((status != 2)) || [[ -n ${found} ]]; then
    die "cannot tell what ${device} holds (blkid exit ${status}): ${found:-no message}"
  fi
  status=0
  cmp --silent --bytes=1048576 "${device}" /dev/zero || status=$?
  case "${status}" in
    0) ;;
    1) die "${device} has no signature, yet its first 1 MiB is not blank: not formatted" ;;
    *) die "cannot read ${device}: not formatted" ;;
  esac
  # -m 0: nothing is reserved for root on a data volume. -i 65536: an inode for every 64 KiB is plenty for
  # images of some 100 KB, and writes a quarter of the default's inode tables to a slow disk.
  # The rest: a new EBS volume reads as zeros, so nothing has to be discarded or zeroed first.
  mkfs.ext4 -q -L "${label}" -m 0 -i 65536 -E nodiscard,lazy_itable_init=1,lazy_journal_init=1 "${device}" ||
    die "could not format ${device}"
  # Links by label appear once udev has seen the new file system: 30 s is its own bound for one event.
  udevadm settle --timeout=30
  log "formatted ${device} as ${label}"
}

mount_label() { # LABEL MOUNT_POINT OPTIONS
  mount_source "LABEL=$1" "$2" "$3"
}
