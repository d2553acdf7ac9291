#!/usr/bin/env bash
# Boots the prep instance: attaches and mounts its two volumes, installs the prep package, starts its service,
# and tells CloudFormation the result. A second run finds everything done and changes nothing.
# DESCRIPTION_URL is empty if the package contains the description of the data set, LOG_GROUP if there are no logs in
# CloudWatch. WHEN_DONE is stop or keep.
set -euo pipefail

: "${STACK_NAME:?}" "${WORK_VOLUME:?}" "${WORK_MOUNT:?}" "${WORK_LABEL:?}" "${PACKED_VOLUME:?}" "${PACKED_MOUNT:?}"
: "${PACKED_LABEL:?}" "${PACKAGE_URL:?}" "${DESCRIPTION_URL?}" "${SERVICE:?}" "${ENVIRONMENT_FILE:?}"
: "${AWS_DEFAULT_REGION:?}" "${PREP_DATASET:?}" "${PREP_ROOT:?}" "${WHEN_DONE:?}" "${LOG_GROUP?}"
export LOG_TAG=dataset-prep-boot
APP=/opt/dataset-prep
FAILED_SERVICE="${SERVICE%.service}-failed.service"
LOG_SERVICE="${SERVICE%.service}-log.service"
SERVICE_LOG=/var/log/dataset-prep.log
SIGNALLED=no

logical_id() {
  aws ec2 describe-tags --output text --query 'Tags[0].Value' --filters \
    "Name=resource-id,Values=${INSTANCE_ID}" Name=key,Values=aws:cloudformation:logical-id
}

has_logical_id() {
  local id
  id="$(logical_id)" && [[ ${id} != None ]]
}

# signal SUCCESS|FAILURE: reports the result to CloudFormation, once. The resource is this instance. Its logical id is
# read from its tag, because the id contains a hash of this text, and so the text can't contain the id.
signal() {
  if [[ ${SIGNALLED} == yes ]]; then
    return
  fi
  SIGNALLED=yes
  # A minute: CloudFormation tags the instance at once, but the tag may be listed only later.
  wait_for 60 "the tag aws:cloudformation:logical-id of ${INSTANCE_ID}" has_logical_id
  local resource
  resource="$(logical_id)"
  # Not an error after a reboot or in a second run: the stack is complete and does not wait for a signal.
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
    log "FAILED: boot ended with status ${status}; correct the cause above and run this script again"
    tell_if_signalled
    signal FAILURE
  fi
}

# CloudFormation listens only to the first signal. After it, only a notice can tell that the boot has failed.
tell_if_signalled() {
  if [[ ${SIGNALLED} == yes && -n ${PREP_TOPIC:-} ]]; then
    aws sns publish --topic-arn "${PREP_TOPIC}" --subject "${STACK_NAME}: the boot failed" --message \
      "The prep instance ${INSTANCE_ID} did not start its work. It costs money as long as it runs. The reason is in \
/var/log/cloud-init-output.log there: aws ssm start-session --region ${AWS_DEFAULT_REGION} --target ${INSTANCE_ID}" \
      >/dev/null || log "could not publish to ${PREP_TOPIC}"
  fi
}

# When the instance is replaced, CloudFormation removes the old one, and detaches its volumes, only after the new one
# has reported success. So success is reported first.
release_from_predecessor() {
  local volume holder
  for volume in "${WORK_VOLUME}" "${PACKED_VOLUME}"; do
    holder="$(held_by_another "${volume}")"
    if [[ -n ${holder} ]]; then
      log "volume ${volume} is still attached to ${holder}, which this instance replaces"
      signal SUCCESS
      # 30 minutes: CloudFormation finishes the update first, then shuts the old instance down (a few minutes).
      wait_for 1800 "instance ${holder} to release volume ${volume}" volume_is "${volume}" 'available *'
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
  grow "${device}"
  chown ec2-user:ec2-user "$4"
}

# grow DEVICE: enlarges its mounted file system to the size of the volume, which the settings may have changed.
# https://docs.aws.amazon.com/ebs/latest/userguide/recognize-expanded-volume-linux.html
grow() {
  local said
  said="$(resize2fs "$1" 2>&1)" ||
    log "could not enlarge the file system on $1, which keeps its size; try: sudo resize2fs $1 (${said##*$'\n'})"
}

write_service() {
  PREP_INSTANCE="${INSTANCE_ID:?}" env | grep --extended-regexp '^(PREP_[A-Z_]+|AWS_DEFAULT_REGION)=' | sort >"${ENVIRONMENT_FILE}"
  # fsfreeze needs CAP_SYS_ADMIN; the service has no other privilege.
  # Five starts in six hours: a short network fault does no harm, a lasting one ends in "failed", not in a loop.
  # Only then, or after a status that prevents restarts, does OnFailure= start its unit.
  # https://www.freedesktop.org/software/systemd/man/252/systemd.unit.html#OnFailure=
  # 130 is how prep ends when it is told to stop, as at a reboot: no failure.
  # "+": the command has all privileges, as a shutdown needs.
  cat >"/etc/systemd/system/${SERVICE}" <<UNIT
[Unit]
Description=Prepare the data set ${PREP_DATASET}
Wants=network-online.target
After=network-online.target
RequiresMountsFor=${WORK_MOUNT} ${PACKED_MOUNT}
StartLimitIntervalSec=6h
StartLimitBurst=5
OnFailure=${FAILED_SERVICE}

[Service]
Type=exec
User=ec2-user
AmbientCapabilities=CAP_SYS_ADMIN
CapabilityBoundingSet=CAP_SYS_ADMIN
WorkingDirectory=${APP}
Environment=PYTHONUNBUFFERED=1
EnvironmentFile=${ENVIRONMENT_FILE}
# If the service was killed while a file system was frozen for its snapshot, it would block forever.
ExecStartPre=-/usr/sbin/fsfreeze --unfreeze ${WORK_MOUNT}
ExecStartPre=-/usr/sbin/fsfreeze --unfreeze ${PACKED_MOUNT}
ExecStart=${APP}/venv/bin/python -m prep run
Restart=on-failure
RestartSec=60
# A restart does not help if a setting is wrong, credentials are refused, or data is not what it should be (see the
# exit codes in docs/troubleshooting.md). With a wrong digest, each restart would download the archive again, for hours.
RestartPreventExitStatus=2 3 5
SuccessExitStatus=130
ExecStopPost=+${APP}/after-run

[Install]
WantedBy=multi-user.target
UNIT
  write_failed_service
  write_after_run
  systemctl daemon-reload
}

# Without a topic, the command writes into the log what it would have sent. If SNS does not answer, it is tried again
# every ten minutes, because nothing else tells the owner.
write_failed_service() {
  cat >"/etc/systemd/system/${FAILED_SERVICE}" <<UNIT
[Unit]
Description=Tell that ${SERVICE} has failed
StartLimitIntervalSec=0

[Service]
Type=oneshot
User=ec2-user
SupplementaryGroups=systemd-journal
WorkingDirectory=${APP}
EnvironmentFile=${ENVIRONMENT_FILE}
ExecStart=${APP}/venv/bin/python -m prep notify --failed
Restart=on-failure
RestartSec=10min
UNIT
}

# Stops the instance a minute after a run that did something. A run that finds all done leaves the receipt as it is:
# then the owner has started the instance again to look at something, and it keeps running.
write_after_run() {
  cat >"${APP}/after-run" <<SCRIPT
#!/usr/bin/env bash
set -euo pipefail
receipt="${PREP_ROOT}/.prep/run.json" stopped_after="${APP}/stopped-after.json"
if [[ ${WHEN_DONE} == stop && \${SERVICE_RESULT} == success && \${EXIT_STATUS} == 0 ]] &&
  ! cmp --silent "\${receipt}" "\${stopped_after}"; then
  cp "\${receipt}" "\${stopped_after}"
  # If this fails, so does the service, which is then started again and comes here again.
  shutdown --poweroff +1 "The data set is ready: this instance stops. To keep it running: sudo shutdown -c" || {
    rm "\${stopped_after}"
    exit 1
  }
fi
SCRIPT
  chmod 0755 "${APP}/after-run"
}

# Sends the logs of the boot and of the service to CloudWatch, if asked. The agent reads files, so the service's
# journal is written into one. A failure here does not end the boot.
start_log_agent() {
  local -r home=/opt/aws/amazon-cloudwatch-agent
  if [[ -z ${LOG_GROUP} ]]; then
    return
  fi
  if ! dnf install --assumeyes --quiet amazon-cloudwatch-agent; then
    log "could not install the CloudWatch agent: the logs stay on this instance"
    return
  fi
  cat >"/etc/systemd/system/${LOG_SERVICE}" <<UNIT
[Unit]
Description=Write the journal of ${SERVICE} into ${SERVICE_LOG}

[Service]
ExecStart=journalctl --boot --follow --lines=all --output=short-iso --unit=${SERVICE}
StandardOutput=append:${SERVICE_LOG}
Restart=on-failure

[Install]
WantedBy=multi-user.target
UNIT
  cat >"${home}/etc/dataset-prep.json" <<CONFIG
{"logs": {"logs_collected": {"files": {"collect_list": [
  {"file_path": "/var/log/cloud-init-output.log", "log_group_name": "${LOG_GROUP}",
    "log_stream_name": "{instance_id}/boot"},
  {"file_path": "${SERVICE_LOG}", "log_group_name": "${LOG_GROUP}", "log_stream_name": "{instance_id}/service"}
]}}}}
CONFIG
  systemctl daemon-reload
  systemctl enable --now "${LOG_SERVICE}" || log "could not start ${LOG_SERVICE}"
  "${home}/bin/amazon-cloudwatch-agent-ctl" -a fetch-config -m ec2 -s -c "file:${home}/etc/dataset-prep.json" >/dev/null ||
    log "could not start the CloudWatch agent: the logs stay on this instance"
}

main() {
  INSTANCE_ID="$(imds instance-id)"
  trap on_exit EXIT
  release_from_predecessor
  mount_volume "${WORK_VOLUME}" /dev/sdf "${WORK_LABEL}" "${WORK_MOUNT}"
  mount_volume "${PACKED_VOLUME}" /dev/sdg "${PACKED_LABEL}" "${PACKED_MOUNT}"
  install_package "${PREP_DATASET}" requirements.txt
  write_service
  start_log_agent
  systemctl enable --now "${SERVICE}" || die "could not start ${SERVICE}"
  log "${SERVICE} is running: journalctl --follow --unit ${SERVICE}"
  signal SUCCESS
}

main
