#!/usr/bin/env bash
# Boots a training instance: for each data set, creates a volume in the instance's zone, attaches it and mounts it
# read-only; then tags the instance with the result. A second run reuses what it finds.
# DATASETS holds names. SNAPSHOT_PARAMETER, with a name for its "*", is an SSM parameter: the ID of the newest snapshot.
# VOLUME_IOPS, VOLUME_THROUGHPUT and INITIALIZATION_RATE are empty if they do not apply.
set -euo pipefail

: "${DATASETS:?}" "${SNAPSHOT_PARAMETER:?}" "${MOUNT_POINT:?}" "${AWS_DEFAULT_REGION:?}" "${INSTANCE_ARNS:?}" "${RESTORE:?}"
: "${VOLUME_TYPE:?}" "${VOLUME_IOPS?}" "${VOLUME_THROUGHPUT?}" "${INITIALIZATION_RATE?}"
: "${TAG_DATASET:?}" "${TAG_ROLE:?}" "${TAG_STATE:?}" "${TAG_REASON:?}" "${TAG_INSTANCE:?}" "${TAG_SNAPSHOT:?}"
export LOG_TAG=dataset-training-boot
# The names that AWS recommends for volumes: https://docs.aws.amazon.com/ebs/latest/userguide/device_naming.html
LETTERS=fghijklmnop
# NAME.attempt: the number of volumes created and deleted, because EC2 answers a known client token with the volume
# that it created first. The file exists if an earlier run may have created a volume.
# NAME.reason, NAME.uuid: why it failed; what is mounted. NAME.notice: what is worth a tag even so. tagged: a reason is.
STATE=/var/lib/dataset-training
TIMES="${STATE}/times"
SAID="${STATE}/said" # the last error message of `ask`

ask() { # ARGUMENTS...: calls AWS; a message goes to the file SAID
  aws "$@" 2>"${SAID}"
}

said() {
  sed --null-data 's/\n/ /g; s/^ *//; s/ *$//' "${SAID}"
}

# refuse OPERATION: fails with what AWS said, the reason and the remedy.
# Codes: https://docs.aws.amazon.com/ec2/latest/devguide/errors-overview.html
refuse() {
  local text reason remedy
  text="$(said)"
  case "${text}" in
    *'(ParameterNotFound)'*)
      reason=parameter-missing remedy="when the prep instance is done, run this again" ;;
    *'(InvalidSnapshot.NotFound)'*)
      reason="snapshot-missing"
      remedy="it was deleted or is in another Region; copy it to ${AWS_DEFAULT_REGION}, or correct the parameter" ;;
    *'(InsufficientVolumeCapacity)'* | *'(VolumeTypeNotAvailableInZone)'*)
      reason=no-capacity remedy="launch in another zone or later, or set another restored_volume_type" ;;
    *'(VolumeLimitExceeded)'* | *'(MaxIOPSLimitExceeded)'*)
      reason=volume-quota remedy="delete volumes that nobody needs, or ask Service Quotas for more" ;;
    *'(RequestLimitExceeded)'* | *Throttl*)
      reason=throttled remedy="launch fewer instances at once; run this again" ;;
    *'(UnauthorizedOperation)'* | *'(AccessDenied'*)
      reason=not-allowed remedy="allow it to this instance's role: deploy the stack Training again" ;;
    *credentials* | *'(AuthFailure)'*)
      reason=credentials remedy="check the instance's profile and its metadata options" ;;
    *) reason=refused remedy="as the message says" ;;
  esac
  fail "${reason}" "could not $1: ${text}: ${remedy}"
}

# True if the AWS command line does not know the command or the option that it was given.
too_old() {
  [[ "$(said)" =~ [Uu]nknown\ options|[Ii]nvalid\ choice ]]
}

has_role() {
  imds_get iam/security-credentials/ >/dev/null 2>&1
}

is_free() { # VOLUME: detached, given up, or gone
  local state
  state="$(volume_state "$1" 2>&1)" || true
  [[ ${state} =~ ^(available|error)|InvalidVolume\.NotFound ]]
}

# Deletes the volume that this run created. A step may fail if the step that it undoes has not happened.
remove_created() {
  local force
  # Nothing has it mounted, so --force does no harm; a stuck attachment may need it.
  for force in --no-force --force; do
    if ! is_free "${CREATED}"; then
      ask ec2 detach-volume --volume-id "${CREATED}" --instance-id "${INSTANCE_ID}" "${force}" >/dev/null || true
      # A detachment takes seconds once nothing has the device open.
      # shellcheck disable=SC2154 # WAIT_LIMIT is volume.sh's
      wait_until $((WAIT_LIMIT / 5)) is_free "${CREATED}" || true
    fi
  done
  if ask ec2 delete-volume --volume-id "${CREATED}" || [[ "$(said)" == *InvalidVolume.NotFound* ]]; then
    log "deleted volume ${CREATED}"
    printf '%s\n' "$((ATTEMPT + 1))" >"${FILES}.attempt"
  else
    log "could not delete volume ${CREATED}: $(said): delete it by hand"
  fi
}

on_exit() {
  local -r status=$?
  if ((status != 0)); then
    log "FAILED: the data set ${DATASET} is not at ${PLACE}; the reason is above"
    if [[ -n ${CREATED} ]]; then
      remove_created
    fi
  fi
}

# The UUID of a device's ext4 file system. Labels are the same for all data sets.
# A snapshot may come from another account: what becomes a word of fstab is checked.
uuid_of() { # DEVICE
  local found
  found="$(blkid --probe --match-types ext4 --match-tag UUID --output value "$1")" || true
  if [[ ${found} =~ ^[0-9a-f-]{36}$ ]]; then
    printf '%s' "${found}"
  fi
}

# True if the data set is mounted already. Anything else at its place would be hidden, so it is left as it is.
is_mounted() {
  local device
  if mountpoint --quiet "${PLACE}"; then
    device="$(findmnt --noheadings --first-only --output SOURCE "${PLACE}")"
    if [[ -f ${FILES}.uuid && "$(uuid_of "${device}")" == "$(<"${FILES}.uuid")" ]]; then
      log "${DATASET} is mounted at ${PLACE} already"
      return 0
    fi
    fail mount-point-in-use "${PLACE} is in use by another file system: unmount it, or set another mount_point"
  fi
  if [[ -e ${PLACE} && (! -d ${PLACE} || -n "$(ls --almost-all "${PLACE}")") ]]; then
    fail mount-point-in-use "${PLACE} is not an empty folder: empty it, or set another mount_point"
  fi
  return 1
}

find_snapshot() { # PARAMETER
  local snapshot
  snapshot="$(ask ssm get-parameter --name "$1" --output text --query Parameter.Value)" ||
    refuse "read the snapshot's ID from the parameter $1"
  [[ ${snapshot} =~ ^snap-[0-9a-f]+$ ]] ||
    fail parameter-invalid "the parameter $1 holds ${snapshot@Q}, not a snapshot id: correct it, then run this again"
  printf '%s' "${snapshot}"
}

list_volumes() { # FILTER...: IDs of volumes of this snapshot, one a line; from one page, so that it is one call
  ask ec2 describe-volumes --no-paginate --max-results 20 --output text --query 'Volumes[].[VolumeId]' \
    --filters "Name=tag:${TAG_SNAPSHOT},Values=${SNAPSHOT}" "$@"
}

find_own() { # the volume that an earlier run on this instance created, if there is one
  local volumes
  volumes="$(list_volumes "Name=tag:${TAG_INSTANCE},Values=${INSTANCE_ARNS}${INSTANCE_ID}" \
    Name=status,Values=creating,available,in-use)" || refuse "list volumes"
  printf '%s' "${volumes%%$'\n'*}"
}

# A volume in this zone, of the same data set and snapshot, whose blocks are all there. Instances mount these volumes
# read-only. One at random: EC2 makes one copy of a volume at a time.
find_source() {
  local volumes
  volumes="$(list_volumes "Name=tag:${TAG_DATASET},Values=${DATASET}" "Name=tag:${TAG_ROLE},Values=restored" \
    "Name=availability-zone,Values=${ZONE}" Name=status,Values=available,in-use)" || return 1
  if [[ -n ${volumes} ]]; then
    # shellcheck disable=SC2086 # a word for each volume
    volumes="$(ask ec2 describe-volume-status --output text --volume-ids ${volumes} --query \
      "VolumeStatuses[?InitializationStatusDetails.Progress==\`100\`].[VolumeId]")" || return 1
  fi
  if [[ -n ${volumes} ]]; then
    shuf --head-count 1 <<<"${volumes}"
  fi
}

# create WAY COMMAND OPTIONS...: creates a volume and sets VOLUME to its ID. Because of the token, a repeated request,
# as after a lost answer, returns the same volume. A token has at most 64 characters.
create() {
  local tags="{Key=Name,Value=${DATASET}-restored},{Key=${TAG_DATASET},Value=${DATASET}},{Key=${TAG_ROLE},Value=restored}"
  tags+=",{Key=${TAG_SNAPSHOT},Value=${SNAPSHOT}},{Key=${TAG_INSTANCE},Value=${INSTANCE_ARNS}${INSTANCE_ID}}"
  local -a options=(--client-token "${INSTANCE_ID}:${SNAPSHOT}:${ATTEMPT}:$1" --volume-type "${VOLUME_TYPE}"
    --tag-specifications "ResourceType=volume,Tags=[${tags}]" --output text)
  if [[ -n ${VOLUME_IOPS} ]]; then
    options+=(--iops "${VOLUME_IOPS}")
  fi
  if [[ -n ${VOLUME_THROUGHPUT} ]]; then
    options+=(--throughput "${VOLUME_THROUGHPUT}")
  fi
  VOLUME="$(ask ec2 "${@:2}" "${options[@]}")" && return
  # If no answer came, the volume may be there all the same.
  if [[ "$(said)" != *'An error occurred ('* ]] && ! too_old; then
    cp "${SAID}" "${SAID}.first"
    VOLUME="$(find_own)"
    mv "${SAID}.first" "${SAID}"
  fi
  [[ -n ${VOLUME} ]]
}

copy_volume() {
  local source why
  if ! source="$(find_source)"; then
    why="could not look for a volume to copy: $(said)"
  elif [[ -z ${source} ]]; then
    why="${ZONE} has no fully initialized volume of it"
  elif create copy copy-volumes --source-volume-id "${source}" --query 'Volumes[0].VolumeId'; then
    log "${DATASET}: copied volume ${source}"
    return
  elif too_old; then
    why="this AWS command line is too old for copy-volumes"
  else
    why="could not copy ${source}: $(said)"
  fi
  log "${DATASET}: from the snapshot instead of a copy: ${why}"
  if [[ ${RESTORE} == copy ]]; then
    printf no-copy >"${FILES}.notice"
  fi
  return 1
}

# Without the rate if the rate is what EC2 refuses. It names no code for that, so its message is read.
# https://docs.aws.amazon.com/ebs/latest/userguide/initalize-volume.html
restore_snapshot() {
  local -r rate="${INITIALIZATION_RATE}"
  local -a from=(create-volume --snapshot-id "${SNAPSHOT}" --availability-zone "${ZONE}" --query VolumeId)
  if [[ -n ${rate} ]]; then
    create "${rate}" "${from[@]}" --volume-initialization-rate "${rate}" && return
    if too_old; then
      log "this AWS command line is too old for --volume-initialization-rate: blocks load when first read"
    elif [[ "$(said)" =~ [Ii]nitialization ]]; then
      log "EC2 refuses to initialize at ${rate} MiB/s: blocks load when first read: $(said)"
    else
      refuse "create a volume from snapshot ${SNAPSHOT} in ${ZONE}"
    fi
  fi
  create 0 "${from[@]}" || refuse "create a volume from snapshot ${SNAPSHOT} in ${ZONE}"
}

# Marks the volume to be deleted with the instance. EC2 accepts this only when it is attached.
delete_with_instance() { # VOLUME
  # shellcheck disable=SC2154 # attach_volume of volume.sh sets ATTACHED_AS
  ask ec2 modify-instance-attribute --instance-id "${INSTANCE_ID}" --block-device-mappings \
    "[{\"DeviceName\": \"${ATTACHED_AS}\", \"Ebs\": {\"VolumeId\": \"$1\", \"DeleteOnTermination\": true}}]"
}

# Runs in a subshell of its own, so that a failure ends this data set only.
restore() { # PARAMETER DEVICE
  local device uuid
  VOLUME=""
  CREATED="" # the volume that this run created; a failure deletes it
  ATTEMPT=0
  trap on_exit EXIT
  if is_mounted; then
    return
  fi
  SNAPSHOT="$(find_snapshot "$1")"
  if [[ -f ${FILES}.attempt ]]; then
    if [[ "$(<"${FILES}.attempt")" =~ ^[0-9]{1,4}$ ]]; then
      ATTEMPT="${BASH_REMATCH[0]}"
    fi
    VOLUME="$(find_own)"
  fi
  printf '%s\n' "${ATTEMPT}" >"${FILES}.attempt"
  if [[ -z ${VOLUME} ]]; then
    if [[ ${RESTORE} == snapshot ]] || ! copy_volume; then
      restore_snapshot
    fi
    CREATED="${VOLUME}"
    log "${DATASET}: created ${VOLUME} in ${ZONE}; snapshot ${SNAPSHOT}"
  fi
  attach_volume "${VOLUME}" "$2" "${CREATED:+new}"
  device="$(find_device "${VOLUME}" "${ATTACHED_AS}")"
  if ! delete_with_instance "${VOLUME}"; then
    # EC2 refuses the call while the volume is "attaching".
    wait_until "${WAIT_LIMIT}" volume_is "${VOLUME}" "in-use ${INSTANCE_ID} attached *" || true
    delete_with_instance "${VOLUME}" || refuse "mark volume ${VOLUME} to be deleted with the instance"
  fi
  uuid="$(uuid_of "${device}")"
  [[ -n ${uuid} ]] || fail file-system "volume ${VOLUME} (${device}) holds no ext4 file system, or a damaged one:" \
    "check snapshot ${SNAPSHOT}"
  # nosuid, nodev: a data set needs neither programs nor devices, and a snapshot is not trusted.
  mount_source "UUID=${uuid}" "${PLACE}" ro,noatime,nosuid,nodev,nofail
  printf '%s\n' "${uuid}" >"${FILES}.uuid"
  log "the data set ${DATASET} is at ${PLACE}"
}

# tag STATE REASONS: the instance. The tag for the reasons is not there until there is one.
tag() {
  local -a tags=("Key=${TAG_STATE},Value=$1")
  if [[ -n $2 || -f ${STATE}/tagged ]]; then
    # EC2's limit for a value is 256 characters. The command line would split it at a comma.
    tags+=("Key=${TAG_REASON},Value=${2:0:256}")
    : >"${STATE}/tagged"
  fi
  ask ec2 create-tags --resources "${INSTANCE_ID}" --tags "${tags[@]}" ||
    log "could not tag ${INSTANCE_ID} ${TAG_STATE}=$1: $(said)"
}

# Own time: all but waiting, that is, pauses and what calls took beyond their processor time.
log_times() {
  awk -v total="$(((${EPOCHREALTIME/[.,]/} - BEGUN) / 1000))" '
    { wait += $3 - $4 - $5; calls += $1 != "pause" }
    END { printf "%.1f s: %d calls of AWS, %.1f s waiting, %.1f s own\n", total / 1000, calls, wait, total / 1000 - wait }
  ' "${TIMES}"
}

main() {
  BEGUN="${EPOCHREALTIME/[.,]/}"
  mkdir --parents "${STATE}"
  : >"${TIMES}"
  INSTANCE_ID="$(imds instance-id)"
  ZONE="$(imds placement/availability-zone)"
  # The role may be known a little later than the instance. Without it, there can be no tag.
  wait_until $((WAIT_LIMIT / 5)) has_role || fail credentials \
    "the metadata service has no credentials of a role: check the instance's profile, then run this again"
  local state=ready reasons="" status number=0
  for DATASET in ${DATASETS}; do
    FILES="${STATE}/${DATASET}"
    REASON_FILE="${FILES}.reason"
    PLACE="${MOUNT_POINT}"
    if [[ ${DATASETS} == *' '* ]]; then
      PLACE+="/${DATASET}"
    fi
    rm --force "${REASON_FILE}" "${FILES}.notice"
    # Not in an "if": set -e would not hold in there.
    set +e
    (set -e && restore "${SNAPSHOT_PARAMETER/\*/${DATASET}}" "/dev/sd${LETTERS:number:1}")
    status=$?
    set -e
    if ((status != 0)); then
      state=failed
      [[ -s ${REASON_FILE} ]] || printf unknown >"${REASON_FILE}"
      reasons+="${reasons:+; }${DATASET}: $(<"${REASON_FILE}")"
    elif [[ -f ${FILES}.notice ]]; then
      reasons+="${reasons:+; }${DATASET}: $(<"${FILES}.notice")"
    fi
    number=$((number + 1))
  done
  tag "${state}" "${reasons}"
  log "$(log_times)"
  [[ ${state} == ready ]]
}

main
