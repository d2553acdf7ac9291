#!/usr/bin/env bash
# Functions that find, attach and mount EBS volumes. It comes after common.sh, whose functions it uses.

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
  local -r begun="${SECONDS}"
  local said next=1
  # shellcheck disable=SC2154 # common.sh sets WAIT_LIMIT
  until said="$(aws ec2 attach-volume --volume-id "${volume}" --instance-id "${INSTANCE_ID}" \
    --device "${ATTACHED_AS}" 2>&1 >/dev/null)"; do
    # Just made, still being created, or still attached elsewhere: that passes. Anything else does not.
    if [[ ! ${said} =~ InvalidVolume\.NotFound|IncorrectState|VolumeInUse ]] || ((SECONDS - begun >= WAIT_LIMIT)); then
      fail attachment-refused \
        "could not attach volume ${volume} to ${INSTANCE_ID} as ${ATTACHED_AS}: ${said##*$'\n'}"
    fi
    # A minute, because a new volume may be listed late.
    if ((SECONDS - begun >= WAIT_LIMIT / 5)); then
      check_not_lost "${volume}"
    fi
    pause "${next}"
    next=$((next < 8 ? 2 * next : 8))
  done
  log "attaching ${volume} as ${ATTACHED_AS}"
}

# EC2 checks the key of an encrypted volume after it has answered CreateVolume. If it can't use the key, the volume
# gets the state "error" or disappears, without any other message.
# https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateVolume.html (KmsKeyId)
# https://github.com/kubernetes-sigs/aws-ebs-csi-driver/issues/3010
check_not_lost() { # VOLUME
  local state
  state="$(volume_state "$1" 2>&1)" || true
  if [[ ${state} =~ ^(error|deleting|deleted)|InvalidVolume\.NotFound ]]; then
    fail volume-lost "EC2 has given up volume $1, as it does if it may not use the key of an encrypted volume or" \
      "snapshot: allow this instance's role to use that key"
  fi
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
  local candidate state
  if ! wait_until "${WAIT_LIMIT}" has_device "${volume}" "${name}"; then
    state="$(volume_state "${volume}")" || true
    if [[ ${state} == "in-use ${INSTANCE_ID:?} attached "* ]]; then
      fail device-missing "volume ${volume} is attached as ${name}, but its device has not appeared in ${WAIT_LIMIT} s:" \
        "reboot the instance, or launch another"
    fi
    fail attachment-stuck "volume ${volume} has not been attached as ${name} in ${WAIT_LIMIT} s (${state:-no answer}):" \
      "stop and start the instance, or launch another"
  fi
  while read -r candidate; do
    if [[ -b ${candidate} ]]; then
      readlink --canonicalize "${candidate}"
      return
    fi
  done < <(device_candidates "${volume}" "${name}")
}

# set_fstab MOUNT_POINT [LINE]: makes LINE the only line for MOUNT_POINT; without LINE there is none.
# Written beside and moved: a crash halfway must not leave an instance without its fstab.
set_fstab() {
  {
    awk -v mount_point="$1" '$2 != mount_point' /etc/fstab
    printf '%s' "${2:+$2$'\n'}"
  } >/etc/fstab.new
  chmod 0644 /etc/fstab.new
  mv /etc/fstab.new /etc/fstab
  systemctl daemon-reload
}

# mount_source SOURCE MOUNT_POINT OPTIONS: mounts LABEL=... or UUID=..., through the very line in fstab that a reboot
# will use.
mount_source() {
  local -r line="$1 $2 ext4 $3 0 2"
  mkdir --parents "$2"
  if ! grep --quiet --line-regexp --fixed-strings "${line}" /etc/fstab; then
    set_fstab "$2" "${line}"
  fi
  if ! mountpoint --quiet "$2"; then
    if ! mount "$2"; then
      # The next boot would wait for it.
      set_fstab "$2"
      fail file-system "could not mount the file system $1 at $2; the message of mount is above"
    fi
    log "mounted $1 at $2"
  fi
}
