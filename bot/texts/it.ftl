# Tutte le frasi in italiano; quello che manca viene detto in inglese.

language-name = Italiano

## Dette in molti posti

unknown-command = Questo non lo conosco. /aiuto elenca quello che so fare.
too-many-wrong-codes = Troppi LoraCode che non sono tuoi. Riprova tra un’ora; /codici elenca i tuoi, che continuano a funzionare.
unknown-code = Non hai un LoraCode così. /codici elenca i tuoi. Se è di qualcun altro, scrivi /chiedi e il codice.
stale-button = Questo pulsante non fa più nulla. /aiuto elenca quello che so fare.
nothing-open = Non hai nulla in corso o in coda.
already-ended = È già finito. /codici mostra a che punto sono i tuoi LoraCode.
no-photos-held = Non ci sono tue foto in attesa. /addestra dice come si comincia; /codici elenca quello che hai.
no-photo-sent = Non c'era nessuna foto. /addestra dice come si mandano.
apology = Scusa, qualcosa è andato storto da parte mia. Riprova tra un minuto.
sent-to-you-alone = L'ho mandato solo a te, nella nostra chat privata.
open-a-private-chat = È solo per te: apri una chat privata con me, premi Avvia e chiedilo di nuovo lì.
who-are-you = Qui Telegram non mi dice chi sei. Scrivimi in una chat privata, o con il tuo nome.
photos-not-fetched = Discord non mi ha dato { $name }, quindi non ho preso nessuna di queste foto. Mandale di nuovo, per favore.
console-hint = Scrivi il percorso di una foto o di una cartella di foto, /aiuto oppure /quit.
console-lost = Non so che cosa farne. { console-hint }

## Tempi, numeri, parole

eta-unknown = quanto ci vuole si saprà quando qui sarà finito il primo
about-left = ancora { $span } circa
half-a-minute = mezzo minuto
unit-d = g
unit-h = h
unit-min = min
days-ago = { $count ->
    [one] { $count } giorno fa
   *[other] { $count } giorni fa
}
hours-ago = { $count ->
    [one] { $count } ora fa
   *[other] { $count } ore fa
}
minutes-ago = { $count ->
    [one] { $count } minuto fa
   *[other] { $count } minuti fa
}
just-now = proprio ora
example = /genera { $code } { $prompt }
example-discord = /genera code:{ $code } prompt:{ $prompt }
shape-portrait = verticale
shape-square = quadrato
shape-landscape = orizzontale
style-none = nessuno
style-button = Stile
style-button-set = Stile: { $style }

## /collega

link-in-private = È solo per te: apri una chat privata con me e chiedilo lì.
link-unknown = Non conosco questa parola, o i suoi dieci minuti sono passati. /collega ne mostra una nuova; scrivila esattamente.
link-same = Questa è la parola di questo account. Scrivimela sull'altra piattaforma: /collega e la parola.
link-too-often = Troppe parole sbagliate. Aspetta dieci minuti, poi chiedine una nuova con /collega.
link-word =
    La tua parola è { $word }. Entro dieci minuti, scrivimela sull'altra piattaforma: /collega { $word }
    Così i tuoi LoraCode sono gli stessi su entrambe. Non mostrarla a nessuno: chi la scrive condivide il tuo account.
linked = Fatto: i tuoi LoraCode, le immagini e i limiti ora sono gli stessi su entrambe le piattaforme.

## /coda

nothing-waits = Non hai nulla in corso o in coda. /addestra crea un LoraCode, /genera disegna con uno.
queue-cancel = Annulla { $what }
queue-training-now = in addestramento
queue-drawing-now = in disegno
queue-training = addestramento, in coda: numero { $position }
queue-drawing = disegno, in coda: numero { $position }

## /impostazioni

settings-title = Quello che prendo quando non dici altro:
settings-size = Formato: { $size }
settings-style = Stile: { $style }
settings-sound = Avvisi: con suono
settings-silent = Avvisi: silenziosi
settings-language = Lingua: { $language }
settings-language-of-app = Lingua: { $language }, come la tua app
settings-sound-button = Con suono
settings-silent-button = Silenziosi
settings-app-button = Come la mia app
settings-which-style = Quale stile, se non ne dici uno? --style none disegna senza.
