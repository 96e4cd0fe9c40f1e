/** The only words known before the app is loaded. */
export const labels: Record<string, { chat: string; open: string; failed: string }> = {
  en: { chat: "Chat", open: "Open chat", failed: "Chat could not be loaded. Try again" },
  id: { chat: "Obrolan", open: "Buka obrolan", failed: "Obrolan gagal dimuat. Coba lagi" },
};
