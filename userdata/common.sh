#!/usr/bin/env bash
# Functions of every boot script: log lines, calls of AWS, waits, and the instance metadata service.
# This file comes first in the user data, below a header of exported settings.
# stacks/boot.py leaves out comments and blank lines: EC2 takes 16 KiB of user data.
# Functions only, except for three variables; the tests give them other values.

# Seconds for a volume to be created, attached and seen. Five minutes: each takes seconds, a busy host two minutes.
: "${WAIT_LIMIT:=300}"
# Where `fail` writes its reason, and where times are written.
: "${REASON_FILE:=/dev/null}" "${TIMES:=/dev/null}"

# A disk's label or a call's answer may be part of the text: one line, and nothing that controls a terminal.
log() {
  local -r text="$*"
  printf '%s %s: %s\n' "$(date --utc +%FT%T.%3NZ)" "${LOG_TAG:-volume}" "${text//[[:cntrl:]]/?}" >&2
}

die() {
  log "FAILED: $*"
  exit 1
}

# fail REASON TEXT...: as `die`, with a word for the reason, which may become a tag.
fail() {
  printf '%s' "$1" >"${REASON_FILE}"
  shift
  die "$@"
}

# The AWS command line. TIMES gets a line for each call: its two words, then real, user and system seconds.
aws() {
  local TIMEFORMAT="$1 ${2:--} %R %U %S"
  { time command aws "$@" 2>&3; } 3>&2 2>>"${TIMES}"
}

pause() { # SECONDS
  printf 'pause - %s 0 0\n' "$1" >>"${TIMES}"
  sleep "$1"
}

# wait_until SECONDS COMMAND...: polls COMMAND until it succeeds; false after SECONDS.
# Each pause is a quarter of the time waited so far, because each call of the AWS command line takes up to a second of
# processor time, and many instances may boot at once.
wait_until() {
  local -r limit="$1"
  shift
  local -r begun="${SECONDS}"
  local next
  until "$@"; do
    if ((SECONDS - begun >= limit)); then
      return 1
    fi
    next=$((1 + (SECONDS - begun) / 4))
    pause $((next < 15 ? next : 15))
  done
}

# imds_get PATH: an item of the instance metadata, by IMDSv2 only.
# Ten retries, one second apart, are enough if the metadata service answers late in a busy boot.
# The token is passed on standard input, because arguments show in the process list.
imds_get() {
  local -r ask=(curl --fail --silent --show-error --noproxy '*' --connect-timeout 2 --max-time 5
    --retry 10 --retry-delay 1 --retry-connrefused)
  local endpoint="${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}" token
  endpoint="${endpoint%/}/latest"
  token="$("${ask[@]}" --request PUT --header 'X-aws-ec2-metadata-token-ttl-seconds: 60' \
    "${endpoint}/api/token")" || return 1
  "${ask[@]}" --header @- "${endpoint}/meta-data/$1" <<<"X-aws-ec2-metadata-token: ${token}"
}

imds() { # PATH: as imds_get, but dies if it is not told
  imds_get "$1" || fail metadata "the metadata service does not tell $1: check the instance's metadata options"
}
