#!/usr/bin/env bash
# Functions that find, attach, format and mount EBS volumes.
# prep.sh and training.sh come right after this file in the user data, below a header of exported settings.
# Functions only: sourcing this file changes nothing.

# A disk's label or a call's answer may be part of the text: one line, and nothing that controls a terminal.
log() {
  local -r text="$*"
  printf '%s %s: %s\n' "$(date --utc +%FT%TZ)" "${LOG_TAG:-volume}" "${text//[[:cntrl:]]/?}" >&2
}

die() {
  log "FAILED: $*"
  exit 1
}

# wait_for SECONDS WHAT COMMAND...: polls COMMAND until it succeeds; dies after SECONDS, naming WHAT.
# Each pause is a quarter of the time waited so far, because each call of the AWS command line takes up to a second of
# processor time, and many instances may boot at once.
wait_for() {
  local -r limit="$1" what="$2"
  shift 2
  local -r begun="${SECONDS}"
  local pause
  until "$@"; do
    if ((SECONDS - begun >= limit)); then
      die "waited ${limit} s for ${what}"
    fi
    pause=$((1 + (SECONDS - begun) / 4))
    sleep $((pause < 15 ? pause : 15))
  done
}

# imds PATH: an item of the instance metadata, by IMDSv2 only.
# Ten retries, one second apart, are enough if the metadata service answers late in a busy boot.
# The token is passed on standard input, because arguments show in the process list.
imds() {
  local endpoint="${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}"
  endpoint="${endpoint%/}"
  local -r ask=(curl --fail --silent --show-error --noproxy '*' --connect-timeout 2 --max-time 5
    --retry 10 --retry-delay 1 --retry-connrefused)
  local token
  token="$("${ask[@]}" --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
    "${endpoint}/latest/api/token")" || die "the metadata service at ${endpoint} gives no token"
  "${ask[@]}" --header @- "${endpoint}/latest/meta-data/$1" <<<"X-aws-ec2-metadata-token: ${token}" ||
    die "the metadata service at ${endpoint} does not tell $1"
}

# volume_state VOLUME: "STATE INSTANCE ATTACHMENT DEVICE", such as "in-use i-0ab attached /dev/sdf"
# or "available None None None".
volume_state() {
  local state
  state="$(aws ec2 describe-volumes --volume-ids "$1" --output text --query \
    'Volumes[0].[State, Attachments[0].InstanceId, Attachments[0].State, Attachments[0].Device]')" ||
    return 1
  printf '%s' "${state//$'\t'/ }"
}

volume_is() { # VOLUME PATTERN
  local state
  state="$(volume_state "$1")" || return 1
  # shellcheck disable=SC2053 # the right side is a pattern
  [[ ${state} == $2 ]]
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

# attach_volume VOLUME DEVICE [new]: attaches the volume to this instance as /dev/sd?, and sets ATTACHED_AS to the name
# that it is attached as. A volume that this instance has already stays as it is; "new" tells that it can't have it
# yet, which saves a call.
attach_volume() {
  local -r volume="$1"
  ATTACHED_AS="$2"
  local state="" holder="" name=""
  if [[ ${3:-} != new ]]; then
    state="$(volume_state "${volume}")" || die "could not look up volume ${volume}"
    read -r _ holder _ name <<<"${state}"
  fi
  if [[ ${holder} == "${INSTANCE_ID:?}" ]]; then
    ATTACHED_AS="${name}"
    return
  fi
  # Five minutes: a volume that is being created or detached takes seconds, a busy host two minutes.
  local -r deadline=$((SECONDS + 300))
  local said pause=1
  until said="$(aws ec2 attach-volume --volume-id "${volume}" --instance-id "${INSTANCE_ID}" \
    --device "${ATTACHED_AS}" 2>&1 >/dev/null)"; do
    # Just made, still being created, or still attached elsewhere: that passes. Anything else does not.
    if [[ ! ${said} =~ InvalidVolume\.NotFound|IncorrectState|VolumeInUse ]] || ((SECONDS >= deadline)); then
      die "could not attach volume ${volume} to ${INSTANCE_ID} as ${ATTACHED_AS}: ${said//$'\n'/ }"
    fi
    sleep "${pause}"
    pause=$((pause < 8 ? 2 * pause : 8))
  done
  log "attaching ${volume} as ${ATTACHED_AS}"
}

device_candidates() { # VOLUME DEVICE: Nitro's path by volume id; Xen's by the device name it was attached as
  printf '%s\n' "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_${1/-/}" "/dev/xvd${2#/dev/sd}"
}

has_device() { # VOLUME DEVICE
  local candidate
  while read -r candidate; do
    if [[ -b ${candidate} ]]; then
      return 0
    fi
  done < <(device_candidates "$1" "$2")
  return 1
}

# find_device VOLUME NAME: the block device of a volume attached as NAME, by its identity and never by order.
# The device is there once the volume is attached, so looking for it needs no call.
find_device() {
  local -r volume="$1" name="$2"
  local candidate
  # Five minutes: an attachment takes seconds. Past that it is stuck, and only a stop and start frees it.
  wait_for 300 "the device of volume ${volume} (${name})" has_device "${volume}" "${name}"
  while read -r candidate; do
    if [[ -b ${candidate} ]]; then
      readlink --canonicalize "${candidate}"
      return
    fi
  done < <(device_candidates "${volume}" "${name}")
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

# mount_label LABEL MOUNT_POINT OPTIONS: mounts now, through the very line in fstab that a reboot will use.
mount_label() {
  local -r label="$1" mount_point="$2" options="$3"
  local -r line="LABEL=${label} ${mount_point} ext4 ${options} 0 2"
  mkdir --parents "${mount_point}"
  if ! grep --quiet --line-regexp --fixed-strings "${line}" /etc/fstab; then
    # Written beside and moved: a crash halfway must not leave an instance without its fstab.
    awk -v mount_point="${mount_point}" '$2 != mount_point' /etc/fstab >/etc/fstab.new
    printf '%s\n' "${line}" >>/etc/fstab.new
    chmod 0644 /etc/fstab.new
    mv /etc/fstab.new /etc/fstab
    systemctl daemon-reload
  fi
  if ! mountpoint --quiet "${mount_point}"; then
    mount "${mount_point}" || die "could not mount the file system ${label} at ${mount_point}"
    log "mounted ${label} at ${mount_point}"
  fi
}
