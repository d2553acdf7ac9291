#!/usr/bin/env bash
# Boots the prep instance: attaches and mounts its two volumes, installs the prep package, starts its service,
# and tells CloudFormation how that went. A second run finds everything done and changes nothing.
# DESCRIPTION_URL is empty where the data set's description comes with the package.
set -euo pipefail

: "${STACK_NAME:?}" "${WORK_VOLUME:?}" "${WORK_MOUNT:?}" "${WORK_LABEL:?}" "${PACKED_VOLUME:?}" "${PACKED_MOUNT:?}"
: "${PACKED_LABEL:?}" "${PACKAGE_URL:?}" "${DESCRIPTION_URL?}" "${SERVICE:?}" "${ENVIRONMENT_FILE:?}"
: "${AWS_DEFAULT_REGION:?}" "${PREP_DATASET:?}"
export LOG_TAG=dataset-prep-boot
APP=/opt/dataset-prep
SIGNALLED=no

logical_id() {
  aws ec2 describe-tags --output text --query 'Tags[0].Value' --filters \
    "Name=resource-id,Values=${INSTANCE_ID}" Name=key,Values=aws:cloudformation:logical-id
}

has_logical_id() {
  local id
  id="$(logical_id)" && [[ ${id} != None ]]
}

# signal SUCCESS|FAILURE: the outcome to CloudFormation, once. Its resource is this instance, whose logical id is
# read from the tag that CloudFormation puts on it: it holds a hash of this very text, so the text can't hold it.
signal() {
  if [[ ${SIGNALLED} == yes ]]; then
    return
  fi
  SIGNALLED=yes
  # A minute: CloudFormation tags what it creates at once, but tags are listed only eventually.
  wait_for 60 "the tag aws:cloudformation:logical-id of ${INSTANCE_ID}" has_logical_id
  local resource
  resource="$(logical_id)"
  # No error where nobody waits: after a reboot or a second run the stack has long been complete.
  if aws cloudformation signal-resource --stack-name "${STACK_NAME}" --logical-resource-id "${resource}" \
    --unique-id "${INSTANCE_ID}" --status "$1"; then
    log "told stack ${STACK_NAME}: $1"
  else
    log "could not tell stack ${STACK_NAME}: $1 (expected unless this is the instance's first boot)"
  fi
}

on_exit() {
  local -r status=$?
  if ((status != 0)); then
    log "FAILED: boot ended with status ${status}; remedy the cause above and run this script again"
    signal FAILURE
  fi
}

# When the instance is replaced, CloudFormation takes the old one away, and with it lets go of the volumes,
# only after the new one has reported success: so that has to come first.
release_from_predecessor() {
  local volume holder
  for volume in "${WORK_VOLUME}" "${PACKED_VOLUME}"; do
    holder="$(held_by_another "${volume}")"
    if [[ -n ${holder} ]]; then
      log "volume ${volume} is still attached to ${holder}, which this instance replaces"
      signal SUCCESS
      # 30 minutes: CloudFormation finishes the update first, then shuts the old instance down (a few minutes).
      wait_for 1800 "instance ${holder} to let go of volume ${volume}" volume_is "${volume}" 'available *'
    fi
  done
}

mount_volume() { # VOLUME DEVICE LABEL MOUNT_POINT
  local device
  attach_volume "$1" "$2"
  # shellcheck disable=SC2154 # attach_volume of volume.sh sets ATTACHED_AS
  device="$(find_device "$1" "${ATTACHED_AS}")"
  format_if_blank "${device}" "$3"
  mount_label "$3" "$4" defaults,noatime,nofail
  chown ec2-user:ec2-user "$4"
}

# Once for each version of the package: a second run must not pull it away from under the running service.
install_package() {
  local -r version="${PACKAGE_URL} ${DESCRIPTION_URL}"
  if [[ -f ${APP}/installed && "$(<"${APP}/installed")" == "${version}" ]]; then
    return
  fi
  # libgomp and libquadmath are what MXNet's library needs beside what it brings.
  dnf install --assumeyes --quiet python3.11 python3.11-pip libgomp libquadmath ||
    die "could not install Python 3.11"
  # Packing is a quarter slower without it, but goes on.
  dnf install --assumeyes --quiet turbojpeg || log "libjpeg-turbo is not available: OpenCV does its work"
  mkdir --parents "${APP}"
  aws s3 cp --only-show-errors "${PACKAGE_URL}" "${APP}/prep.zip" || die "could not fetch ${PACKAGE_URL}"
  rm --recursive --force "${APP}/prep"
  python3.11 -m zipfile --extract "${APP}/prep.zip" "${APP}/prep"
  if [[ -n ${DESCRIPTION_URL} ]]; then
    aws s3 cp --only-show-errors "${DESCRIPTION_URL}" "${PREP_DATASET}" || die "could not fetch ${DESCRIPTION_URL}"
  fi
  python3.11 -m venv "${APP}/venv"
  "${APP}/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    --requirement "${APP}/prep/requirements.txt" || die "could not install the package's requirements"
  printf '%s\n' "${version}" >"${APP}/installed"
  log "installed the prep package in ${APP}"
}

write_service() {
  env | grep --extended-regexp '^(PREP_[A-Z_]+|AWS_DEFAULT_REGION)=' | sort >"${ENVIRONMENT_FILE}"
  # CAP_SYS_ADMIN is what fsfreeze asks for; the service has no other privilege.
  # Five starts in six hours: a network fault is ridden out, a lasting one ends in "failed" rather than in a loop.
  cat >"/etc/systemd/system/${SERVICE}" <<UNIT
[Unit]
Description=Prepare the data set ${PREP_DATASET}
Wants=network-online.target
After=network-online.target
RequiresMountsFor=${WORK_MOUNT} ${PACKED_MOUNT}
StartLimitIntervalSec=6h
StartLimitBurst=5

[Service]
Type=exec
User=ec2-user
AmbientCapabilities=CAP_SYS_ADMIN
CapabilityBoundingSet=CAP_SYS_ADMIN
WorkingDirectory=${APP}
Environment=PYTHONUNBUFFERED=1
EnvironmentFile=${ENVIRONMENT_FILE}
# Killed while a file system was frozen for its snapshot, the service would wait for it forever.
ExecStartPre=-/usr/sbin/fsfreeze --unfreeze ${WORK_MOUNT}
ExecStartPre=-/usr/sbin/fsfreeze --unfreeze ${PACKED_MOUNT}
ExecStart=${APP}/venv/bin/python -m prep run
Restart=on-failure
RestartSec=60
# A wrong setting and refused credentials (see the README's exit codes) are not mended by another try.
RestartPreventExitStatus=2 3

[Install]
WantedBy=multi-user.target
UNIT
  systemctl daemon-reload
}

main() {
  INSTANCE_ID="$(imds instance-id)"
  trap on_exit EXIT
  release_from_predecessor
  mount_volume "${WORK_VOLUME}" /dev/sdf "${WORK_LABEL}" "${WORK_MOUNT}"
  mount_volume "${PACKED_VOLUME}" /dev/sdg "${PACKED_LABEL}" "${PACKED_MOUNT}"
  install_package
  write_service
  systemctl enable --now "${SERVICE}" || die "could not start ${SERVICE}"
  log "${SERVICE} is running: journalctl --follow --unit ${SERVICE}"
  signal SUCCESS
}

main
