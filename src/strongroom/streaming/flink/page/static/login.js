"use strict";
// The code stands behind the # of the link, which no browser sends: take it from there, and out of the address.
const field = document.getElementById("word");
function take() {
  const code = location.hash.slice(1);
  if (code) {
    field.value = code;
    history.replaceState(null, "", location.pathname);
  }
}
take();
addEventListener("hashchange", take); // a link that is opened where the login page is already loads nothing anew
