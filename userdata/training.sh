#!/usr/bin/env bash
# Boots a training instance: creates a volume from the data set's newest snapshot in the instance's zone, attaches it,
# mounts it read-only, and tags the instance with the result. A second run reuses the volume that it finds.
# VOLUME_IOPS, VOLUME_THROUGHPUT and INITIALIZATION_RATE are empty if they do not apply.
set -euo pipefail

: "${DATASET:?}" "${SNAPSHOT_PARAMETER:?}" "${MOUNT_POINT:?}" "${AWS_DEFAULT_REGION:?}"
: "${VOLUME_TYPE:?}" "${VOLUME_IOPS?}" "${VOLUME_THROUGHPUT?}" "${INITIALIZATION_RATE?}"
: "${TAG_DATASET:?}" "${TAG_ROLE:?}" "${TAG_STATE:?}"
export LOG_TAG=dataset-training-boot
TAG_INSTANCE=dataset-instance # on a restored volume: the instance that made it
DEVICE=/dev/sdf
CREATED="" # the volume that this run created; a failure deletes it
# Number of volumes created and deleted: EC2 answers a known client token with the volume that it created first.
ATTEMPTS_FILE=/var/lib/dataset-training-attempts
# Exists if this script has run before: an earlier run may have created a volume.
BEGUN_FILE=/var/lib/dataset-training-begun

tag_state() {
  aws ec2 create-tags --resources "${INSTANCE_ID}" --tags "Key=${TAG_STATE},Value=$1" ||
    log "could not tag ${INSTANCE_ID} ${TAG_STATE}=$1"
}

# Deletes the volume that this run created. A step may fail if the step that it undoes has not happened.
remove_created() {
  umount "${MOUNT_POINT}" 2>/dev/null || true
  if volume_is "${CREATED}" 'in-use *'; then
    aws ec2 detach-volume --volume-id "${CREATED}" --instance-id "${INSTANCE_ID}" >/dev/null || true
  fi
  # Two minutes: a detachment takes seconds once nothing has the device open.
  local -r deadline=$((SECONDS + 120))
  until volume_is "${CREATED}" 'available *' || ((SECONDS >= deadline)); do
    sleep 2
  done
  if aws ec2 delete-volume --volume-id "${CREATED}"; then
    log "deleted volume ${CREATED}"
    printf '%s\n' "$((ATTEMPT + 1))" >"${ATTEMPTS_FILE}"
  else
    log "could not delete volume ${CREATED}: delete it by hand"
  fi
}

on_exit() {
  local -r status=$?
  if ((status != 0)); then
    log "FAILED: the data set ${DATASET} is not at ${MOUNT_POINT}; the reason is above"
    if [[ -n ${CREATED} ]]; then
      remove_created
    fi
    tag_state failed
  fi
}

find_snapshot() {
  local snapshot
  snapshot="$(aws ssm get-parameter --name "${SNAPSHOT_PARAMETER}" --output text --query Parameter.Value)" ||
    die "no snapshot id in the parameter ${SNAPSHOT_PARAMETER}: when the prep instance is done, run this again"
  [[ ${snapshot} =~ ^snap-[0-9a-f]+$ ]] ||
    die "the parameter ${SNAPSHOT_PARAMETER} holds ${snapshot@Q}, not a snapshot id: correct it, then run this again"
  printf '%s' "${snapshot}"
}

# Marks the volume to be deleted with the instance. EC2 accepts this only when it is attached.
delete_with_instance() { # VOLUME
  # shellcheck disable=SC2154 # attach_volume of volume.sh sets ATTACHED_AS
  aws ec2 modify-instance-attribute --instance-id "${INSTANCE_ID}" --block-device-mappings \
    "[{\"DeviceName\": \"${ATTACHED_AS}\", \"Ebs\": {\"VolumeId\": \"$1\", \"DeleteOnTermination\": true}}]"
}

# The label of a volume's file system. A snapshot may come from another account, so the label is checked: it must be
# one word of fstab.
label_of() { # VOLUME DEVICE
  local label
  label="$(blkid --probe --match-tag LABEL --output value "$2")" ||
    die "volume $1 ($2) holds no labelled file system"
  [[ ${label} =~ ^[A-Za-z0-9_.-]{1,16}$ ]] ||
    die "volume $1 ($2) has the label ${label@Q}: only letters, digits and _.- can be mounted by label"
  printf '%s' "${label}"
}

# The volume that an earlier run on this instance created from this snapshot, if there is one.
find_volume() { # SNAPSHOT
  local volume
  volume="$(aws ec2 describe-volumes --output text --query 'Volumes[0].VolumeId' --filters \
    "Name=tag:${TAG_INSTANCE},Values=${INSTANCE_ID}" "Name=snapshot-id,Values=$1" \
    Name=status,Values=creating,available,in-use)" || die "could not list volumes"
  if [[ ${volume} == vol-* ]]; then
    printf '%s' "${volume}"
  fi
}

create_volume() { # SNAPSHOT ZONE [RATE]
  local -r tags="{Key=Name,Value=${DATASET}-restored},{Key=${TAG_DATASET},Value=${DATASET}}"
  local -r roles="{Key=${TAG_ROLE},Value=restored},{Key=${TAG_INSTANCE},Value=${INSTANCE_ID}}"
  # Because of the token, a repeated request, as after a lost answer, returns the same volume. At most 64 characters.
  local -a options=(--client-token "${INSTANCE_ID}:$1:${ATTEMPT}:${3:-0}" --snapshot-id "$1"
    --availability-zone "$2" --volume-type "${VOLUME_TYPE}"
    --tag-specifications "ResourceType=volume,Tags=[${tags},${roles}]")
  if [[ -n ${VOLUME_IOPS} ]]; then
    options+=(--iops "${VOLUME_IOPS}")
  fi
  if [[ -n ${VOLUME_THROUGHPUT} ]]; then
    options+=(--throughput "${VOLUME_THROUGHPUT}")
  fi
  if [[ -n ${3:-} ]]; then
    options+=(--volume-initialization-rate "$3")
  fi
  aws ec2 create-volume "${options[@]}" --output text --query VolumeId
}

# Creates a volume that is loaded at the requested rate or, if AWS does not allow that now, when it is read.
restore_volume() { # SNAPSHOT ZONE
  if [[ -n ${INITIALIZATION_RATE} ]]; then
    if create_volume "$1" "$2" "${INITIALIZATION_RATE}"; then
      return
    fi
    log "AWS refuses to initialize the volume at ${INITIALIZATION_RATE} MiB/s: blocks load when first read"
  fi
  create_volume "$1" "$2" || die "could not create a volume from snapshot $1 in $2"
}

main() {
  INSTANCE_ID="$(imds instance-id)"
  trap on_exit EXIT
  if mountpoint --quiet "${MOUNT_POINT}"; then
    log "${MOUNT_POINT} is mounted already"
    tag_state ready
    return
  fi
  ATTEMPT=0
  if [[ -f ${ATTEMPTS_FILE} && "$(<"${ATTEMPTS_FILE}")" =~ ^[0-9]{1,4}$ ]]; then
    ATTEMPT="${BASH_REMATCH[0]}"
  fi
  local snapshot zone volume="" device label
  zone="$(imds placement/availability-zone)"
  snapshot="$(find_snapshot)"
  if [[ -f ${BEGUN_FILE} ]]; then
    volume="$(find_volume "${snapshot}")"
  fi
  : >"${BEGUN_FILE}"
  if [[ -z ${volume} ]]; then
    volume="$(restore_volume "${snapshot}" "${zone}")"
    CREATED="${volume}"
    log "created ${volume} from ${snapshot} in ${zone}"
  fi
  attach_volume "${volume}" "${DEVICE}" "${CREATED:+new}"
  device="$(find_device "${volume}" "${ATTACHED_AS}")"
  if ! delete_with_instance "${volume}"; then
    # Five minutes, as for the device. EC2 refuses the call while the volume is "attaching".
    wait_for 300 "volume ${volume} to be attached" volume_is "${volume}" "in-use ${INSTANCE_ID} attached *"
    delete_with_instance "${volume}" || die "could not mark volume ${volume} to be deleted with the instance"
  fi
  label="$(label_of "${volume}" "${device}")"
  # nosuid, nodev: a data set needs neither programs nor devices, and a snapshot is not trusted.
  mount_label "${label}" "${MOUNT_POINT}" ro,noatime,nosuid,nodev,nofail
  tag_state ready
  log "the data set ${DATASET} is at ${MOUNT_POINT}"
}

main
