// @ts-check
/** A modal dialog: the browser's own, which keeps the focus and closes on Escape. */

import { useEffect, useLayoutEffect, useRef } from "/dashboard/vendor/hooks.js";
import { html } from "./html.js";
import { Icon } from "./icons.js";
import { usePlace } from "./router.js";

/** @import { Children } from "./html.js" */

/** @param {{ title: string, onClose: () => void, stays?: boolean, children?: Children }} props *stays*: also when its page is left. */
export function Dialog({ title, onClose, stays = false, children }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  useEffect(() => {
    const dialog = element.current;
    const opener = document.activeElement;
    dialog?.showModal();
    /** @type {HTMLElement | null | undefined} */ (dialog?.querySelector("form input, form select"))?.focus();
    return () => {
      dialog?.close();
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  const place = usePlace();
  const first = useRef(place);
  // At once: the heading of the next page can't be focused behind it.
  useLayoutEffect(() => {
    if (place !== first.current && !stays) onClose();
  }, [place]);
  // Browsers close it on a second Escape, whatever the first one came to.
  const reopen = () => void (element.current?.isConnected && element.current.showModal());
  return html`<dialog ref=${element} aria-labelledby="dialog-title" onClose=${reopen} onCancel=${(/** @type {Event} */ event) => { event.preventDefault(); onClose(); }}>
    <div class="dialog-head"><h2 id="dialog-title">${title}</h2>
      <button type="button" class="quiet" aria-label="Close" onClick=${onClose}><${Icon} name="close" /></button></div>
    ${children}
  </dialog>`;
}
