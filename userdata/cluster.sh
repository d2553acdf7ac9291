#!/usr/bin/env bash
# Boots a machine of the Ray cluster. The head (ROLE=head) runs Ray's autoscaler and the work, and no tasks; a worker
# (ROLE=worker) joins the head that its tag names. Both end themselves: the head when the work is done or has failed for
# good, a worker when its head is gone. A second run finds everything done.
# AUTOSCALER is the configuration of Ray's autoscaler, in which "@HEAD@", "@CPUS@" and "@MEMORY@" stand for what only the
# head knows. It, WORKER_TYPE, DESCRIPTION_URL and WHEN_DONE are the head's alone. DESCRIPTION_URL is empty if the package
# contains the description of the data set, LOG_GROUP if there are no logs in CloudWatch.
set -euo pipefail

: "${ROLE:?}" "${NAME:?}" "${PACKAGE_URL:?}" "${TOKEN_SECRET:?}" "${LOG_GROUP?}" "${AWS_DEFAULT_REGION:?}"
: "${TAG_DATASET:?}" "${TAG_ROLE:?}" "${TAG_HEAD:?}" "${RAY_SERVICE:?}" "${CLUSTER_SERVICE:?}" "${ENVIRONMENT_FILE:?}"
: "${WHEN_DONE:=stop}" "${DESCRIPTION_URL:=}"
export LOG_TAG=dataset-cluster-boot
APP=/opt/dataset-prep
# Not below /tmp, which is a file system in memory on Amazon Linux 2023: Ray moves objects from memory to this folder.
# The path is short because the name of a Unix socket has at most 107 bytes.
RAY_FOLDER=/var/lib/dataset-ray
TOKEN_FILE=/etc/dataset-ray.token
AUTOSCALER_FILE=/etc/dataset-autoscaler.json
FAILED_SERVICE="${CLUSTER_SERVICE%.service}-failed.service"
LOG_SERVICE="${CLUSTER_SERVICE%.service}-log.service"
SERVICE_LOG=/var/log/dataset-cluster.log
# Another service of the same machine may have the usual port: only the rehearsal sets another one.
PORT="${RAY_PORT:-6379}"
# A boot takes about three minutes. One that hangs would cost money, and the head would wait for the worker.
BOOT_SECONDS=1800

stays() { # whether this machine keeps running although its work has ended
  [[ ${ROLE} == head && ${WHEN_DONE} == keep ]]
}

# Ends the machine if the boot takes too long. It ends by itself when it gets SIGTERM.
watch_boot() {
  sleep "${BOOT_SECONDS}" &
  trap 'kill $!' TERM
  if wait $!; then
    log "FAILED: the boot is not done after ${BOOT_SECONDS} s"
    stays || shutdown --poweroff now
  fi
}

on_exit() {
  local -r status=$?
  kill "${WATCH:-}" 2>/dev/null || true
  if ((status == 0)); then
    return
  fi
  log "FAILED: boot ended with status ${status}; the cause is above"
  if [[ ${ROLE} == head && -n ${PREP_TOPIC:-} ]]; then
    aws sns publish --topic-arn "${PREP_TOPIC}" --subject "${NAME}: the cluster's head did not boot" --message \
      "The head ${INSTANCE_ID:-} of the cluster did not start its work. The reason, from the end of its log:
$(tail --lines=20 /var/log/cloud-init-output.log 2>/dev/null)" >/dev/null || log "could not publish to ${PREP_TOPIC}"
  fi
  stays || shutdown --poweroff now
}

# Two heads would write the same objects. The one that was launched first works; the other one ends itself.
refuse_second_head() {
  local first
  first="$(aws ec2 describe-instances --output text \
    --query 'Reservations[].Instances[].[LaunchTime, InstanceId]' --filters \
    "Name=tag:${TAG_DATASET},Values=${NAME}" "Name=tag:${TAG_ROLE},Values=cluster-${ROLE}" \
    Name=instance-state-name,Values=pending,running | sort | head --lines=1)" || die "could not look for other heads"
  first="${first##*$'\t'}"
  if [[ -n ${first} && ${first} != "${INSTANCE_ID}" ]]; then
    WHEN_DONE=stop
    die "${first} is already the head of this cluster: nothing is done here"
  fi
}

# Ray asks for the token in every call. It is in a file that only Ray's user can read, and nowhere else.
write_token() {
  install --owner=ec2-user --group=ec2-user --mode=0400 /dev/null "${TOKEN_FILE}"
  aws secretsmanager get-secret-value --secret-id "${TOKEN_SECRET}" --query SecretString --output text \
    >"${TOKEN_FILE}" || die "could not read the secret ${TOKEN_SECRET}"
}

# Ray launches workers for tasks that wait, so it must know what a worker has before there is one.
write_autoscaler() {
  local cpus mib text
  read -r cpus mib < <(aws ec2 describe-instance-types --instance-types "${WORKER_TYPE:?}" --output text \
    --query 'InstanceTypes[0].[VCpuInfo.DefaultVCpus, MemoryInfo.SizeInMiB]') ||
    die "could not look up the instance type ${WORKER_TYPE}"
  text="${AUTOSCALER:?}"
  text="${text//@HEAD@/${ADDRESS}}"
  text="${text//\"@CPUS@\"/${cpus}}"
  # Ray gives 30 % of a machine's memory to its object store.
  text="${text//\"@MEMORY@\"/$((mib * 1024 * 1024 * 7 / 10))}"
  printf '%s\n' "${text}" >"${AUTOSCALER_FILE}"
}

write_environment() {
  {
    PREP_INSTANCE="${INSTANCE_ID}" env | grep --extended-regexp '^(PREP_[A-Z_]+|AWS_DEFAULT_REGION)=' | sort
    printf '%s\n' "RAY_AUTH_MODE=token" "RAY_AUTH_TOKEN_PATH=${TOKEN_FILE}" RAY_USAGE_STATS_ENABLED=0 \
      RAY_idle_worker_killing_time_threshold_ms=60000 "RAY_ADDRESS=${HEAD}:${PORT}" "PYTHONPATH=${APP}"
  } >"${ENVIRONMENT_FILE}"
}

# Ray opens many files. If the kernel ends one of its processes for want of memory, Ray does that task again: the
# service goes on (OOMPolicy). https://www.freedesktop.org/software/systemd/man/252/systemd.service.html#OOMPolicy=
# Ports are those that are free. Only the head's is fixed.
write_ray_service() {
  local start end=
  if [[ ${ROLE} == head ]]; then
    start="--head --port=${PORT} --num-cpus=0 --include-dashboard=false --autoscaling-config=${AUTOSCALER_FILE}"
  else
    start="--address=${HEAD}:${PORT}"
    # Ray gives up a minute after its head has gone.
    end="ExecStopPost=+${APP}/power-off"
  fi
  cat >"/etc/systemd/system/${RAY_SERVICE}" <<UNIT
[Unit]
Description=Ray, ${ROLE} of the cluster of ${NAME}
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=6h
StartLimitBurst=5

[Service]
Type=exec
User=ec2-user
WorkingDirectory=${RAY_FOLDER}
EnvironmentFile=${ENVIRONMENT_FILE}
ExecStart=${APP}/venv/bin/ray start ${start} --node-ip-address=${ADDRESS} --temp-dir=${RAY_FOLDER} --min-worker-port=0 --max-worker-port=0 --disable-usage-stats --block
${end}
Restart=$([[ ${ROLE} == head ]] && echo on-failure || echo no)
RestartSec=5
LimitNOFILE=65536
TasksMax=infinity
OOMPolicy=continue

[Install]
WantedBy=multi-user.target
UNIT
}

write_power_off() {
  cat >"${APP}/power-off" <<'SCRIPT'
#!/usr/bin/env bash
exec shutdown --poweroff now
SCRIPT
  chmod 0755 "${APP}/power-off"
}

# The same limits and exit codes as the prep instance's service: see write_service in prep.sh.
write_work_service() {
  cat >"${APP}/work" <<SCRIPT
#!/usr/bin/env bash
set -euo pipefail
prep() { "${APP}/venv/bin/python" -m prep "\$@"; }
prep pack --on ray
prep verify --on ray
prep notify --on ray || echo "the notice was not sent"
SCRIPT
  cat >"${APP}/after-work" <<SCRIPT
#!/usr/bin/env bash
set -euo pipefail
if [[ ${WHEN_DONE} == stop && \${SERVICE_RESULT} == success && \${EXIT_STATUS} == 0 ]]; then
  exec "${APP}/power-off"
fi
SCRIPT
  # Three times: without its machine, nothing tells the owner, but it costs money while it waits.
  cat >"${APP}/tell-failed" <<SCRIPT
#!/usr/bin/env bash
for pause in 0 300 600; do
  sleep "\${pause}"
  "${APP}/venv/bin/python" -m prep notify --on ray --failed && break
done
SCRIPT
  chmod 0755 "${APP}/work" "${APP}/after-work" "${APP}/tell-failed"
  cat >"/etc/systemd/system/${CLUSTER_SERVICE}" <<UNIT
[Unit]
Description=Pack the data set ${NAME} on the cluster
Wants=${RAY_SERVICE}
After=${RAY_SERVICE}
StartLimitIntervalSec=6h
StartLimitBurst=5
OnFailure=${FAILED_SERVICE}

[Service]
Type=exec
User=ec2-user
WorkingDirectory=${APP}
Environment=PYTHONUNBUFFERED=1
EnvironmentFile=${ENVIRONMENT_FILE}
ExecStart=${APP}/work
Restart=on-failure
RestartSec=60
RestartPreventExitStatus=2 3 5
SuccessExitStatus=130
ExecStopPost=+${APP}/after-work

[Install]
WantedBy=multi-user.target
UNIT
  cat >"/etc/systemd/system/${FAILED_SERVICE}" <<UNIT
[Unit]
Description=Tell that ${CLUSTER_SERVICE} has failed

[Service]
Type=oneshot
User=ec2-user
SupplementaryGroups=systemd-journal
WorkingDirectory=${APP}
EnvironmentFile=${ENVIRONMENT_FILE}
ExecStart=${APP}/tell-failed
$(stays || echo "ExecStopPost=+${APP}/power-off")
UNIT
}

# The machine is gone when the work has ended, and its logs with it, unless they are in CloudWatch.
start_log_agent() {
  local -r home=/opt/aws/amazon-cloudwatch-agent
  local more=
  if [[ -z ${LOG_GROUP} ]]; then
    return
  fi
  if [[ ${ROLE} == head ]]; then
    # Why there is no worker, for example, or one less.
    more=",
  {\"file_path\": \"${RAY_FOLDER}/session_2*/logs/monitor.log\", \"log_group_name\": \"${LOG_GROUP}\",
    \"log_stream_name\": \"${ROLE}/{instance_id}/autoscaler\"}"
  fi
  if ! dnf install --assumeyes --quiet amazon-cloudwatch-agent; then
    log "could not install the CloudWatch agent: the logs stay on this instance"
    return
  fi
  cat >"/etc/systemd/system/${LOG_SERVICE}" <<UNIT
[Unit]
Description=Write the journals of Ray and of the work into ${SERVICE_LOG}

[Service]
ExecStart=journalctl --boot --follow --lines=all --output=short-iso --unit=${RAY_SERVICE} --unit=${CLUSTER_SERVICE}
StandardOutput=append:${SERVICE_LOG}
Restart=on-failure

[Install]
WantedBy=multi-user.target
UNIT
  cat >"${home}/etc/dataset-cluster.json" <<CONFIG
{"logs": {"logs_collected": {"files": {"collect_list": [
  {"file_path": "/var/log/cloud-init-output.log", "log_group_name": "${LOG_GROUP}",
    "log_stream_name": "${ROLE}/{instance_id}/boot"},
  {"file_path": "${SERVICE_LOG}", "log_group_name": "${LOG_GROUP}", "log_stream_name": "${ROLE}/{instance_id}/service"}${more}
]}}}}
CONFIG
  systemctl daemon-reload
  systemctl enable --now "${LOG_SERVICE}" || log "could not start ${LOG_SERVICE}"
  "${home}/bin/amazon-cloudwatch-agent-ctl" -a fetch-config -m ec2 -s -c "file:${home}/etc/dataset-cluster.json" >/dev/null ||
    log "could not start the CloudWatch agent: the logs stay on this instance"
}

ray_answers() {
  (: <"/dev/tcp/${HEAD}/${PORT}") 2>/dev/null
}

main() {
  watch_boot &
  WATCH=$!
  trap on_exit EXIT
  INSTANCE_ID="$(imds instance-id)"
  ADDRESS="$(imds local-ipv4)"
  HEAD="${ADDRESS}"
  if [[ ${ROLE} == head ]]; then
    refuse_second_head
  else
    # It becomes a part of a unit, and who may set tags may not be who may run commands here.
    HEAD="$(imds "tags/instance/${TAG_HEAD}")"
    [[ ${HEAD} =~ ^[0-9]{1,3}(\.[0-9]{1,3}){3}$ ]] || die "the tag ${TAG_HEAD} is no address: ${HEAD}"
  fi
  install_package "${PREP_DATASET:-}" requirements.txt requirements-cluster.txt
  write_token
  write_environment
  install --directory --owner=ec2-user --group=ec2-user "${RAY_FOLDER}"
  write_power_off
  if [[ ${ROLE} == head ]]; then
    write_autoscaler
    write_work_service
  fi
  write_ray_service
  systemctl daemon-reload
  start_log_agent
  systemctl enable --now "${RAY_SERVICE}" || die "could not start ${RAY_SERVICE}"
  # A minute: Ray's own processes start in ten seconds.
  wait_until 60 ray_answers || die "nothing answers at ${HEAD}:${PORT}: see journalctl --unit ${RAY_SERVICE}"
  if [[ ${ROLE} == head ]]; then
    systemctl enable --now "${CLUSTER_SERVICE}" || die "could not start ${CLUSTER_SERVICE}"
    log "${CLUSTER_SERVICE} is running: journalctl --follow --unit ${CLUSTER_SERVICE}"
  else
    log "joins the head at ${HEAD}"
  fi
}

main
