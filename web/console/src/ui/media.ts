import { MediaQuery } from 'svelte/reactivity'

/** Phones show list, thread and panel as separate screens, with the main actions at the bottom. */
export const phone = new MediaQuery('width < 48rem', false)
export const wide = new MediaQuery('width >= 80rem', true)
