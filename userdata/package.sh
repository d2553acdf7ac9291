#!/usr/bin/env bash
# The function that installs the prep package. It comes after common.sh, whose functions it uses.

# install_package DESCRIPTION FILE...: install the package of PACKAGE_URL in APP, with the requirements in these
# files of it. If DESCRIPTION_URL names the description of a data set, it is fetched to the file DESCRIPTION. That
# is done once for each version: a second run must not remove what a service is running.
install_package() {
  local -r version="${PACKAGE_URL:?} ${DESCRIPTION_URL?}" description="$1"
  shift
  if [[ -f ${APP:?}/installed && "$(<"${APP}/installed")" == "${version}" ]]; then
    return
  fi
  # MXNet's library needs libgomp and libquadmath.
  dnf install --assumeyes --quiet python3.11 python3.11-pip libgomp libquadmath ||
    die "could not install Python 3.11"
  # Without it, packing is a quarter slower.
  dnf install --assumeyes --quiet turbojpeg || log "libjpeg-turbo is not available: prep uses OpenCV instead"
  mkdir --parents "${APP}"
  aws s3 cp --only-show-errors "${PACKAGE_URL}" "${APP}/prep.zip" || die "could not fetch ${PACKAGE_URL}"
  rm --recursive --force "${APP}/prep"
  python3.11 -m zipfile --extract "${APP}/prep.zip" "${APP}/prep"
  if [[ -n ${DESCRIPTION_URL} ]]; then
    aws s3 cp --only-show-errors "${DESCRIPTION_URL}" "${description}" || die "could not fetch ${DESCRIPTION_URL}"
  fi
  python3.11 -m venv "${APP}/venv"
  "${APP}/venv/bin/python" -m pip install --quiet --disable-pip-version-check \
    "${@/#/--requirement=${APP}/prep/}" || die "could not install the package's requirements"
  printf '%s\n' "${version}" >"${APP}/installed"
  log "installed the prep package in ${APP}"
}
