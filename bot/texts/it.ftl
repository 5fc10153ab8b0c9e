# Tutte le frasi in italiano; quello che manca viene detto in inglese.

language-name = Italiano

## Dette in molti posti

unknown-command = Non ho capito. /aiuto elenca quello che so fare.
lost-with-photos = Non ho capito. /addestra mostra di nuovo le tue foto, con i pulsanti da premere.
lost-with-jobs = Non ho capito. /coda mostra a che punto è il tuo lavoro, e quanto manca.
cannot-open-links = Non posso aprire link. Mandami la foto stessa.
too-many-wrong-codes = Troppi LoraCode che non sono tuoi. Riprova tra un'ora; i tuoi continuano a funzionare, e /codici li elenca.
unknown-code = Non hai un LoraCode con questo numero. /codici elenca i tuoi. Se è di un'altra persona, scrivi /chiedi e il codice.
lora-of-other-base = Il LoraCode { $code } è stato addestrato sul modello di base «{ $base }», e ora disegno con «{ $current }». Non si perde nulla: disegnerà di nuovo quando tornerà quel modello.
unknown-code-in-prompt = Nella tua descrizione leggo { $code } come LoraCode, ma non ne hai uno con questo numero: /codici elenca i tuoi. Se è altro, per esempio due anni, metti una virgola o una parola tra le cifre.
unknown-code-of-numbers = Leggo le prime otto cifre, { $code }, come LoraCode, ma non ne hai uno con questo numero: /codici elenca i tuoi. Se è di un'altra persona, scrivi /chiedi e il codice. Se le cifre fanno parte dell'immagine, per esempio due anni, scrivi prima il tuo LoraCode e metti una virgola in mezzo: /genera 4071 3386 { $first }, { $second } …
stale-button = Questo pulsante non funziona più, oppure è di qualcun altro. /aiuto elenca quello che so fare.
not-your-button = Questi pulsanti sono di chi ha scritto il messaggio qui sopra, quindi non ho cambiato nulla. Per averne di tuoi scrivi per esempio /genera o /addestra.
nothing-open = Non hai nulla in corso o in coda.
already-ended = È già finito. /codici mostra a che punto sono i tuoi LoraCode.
no-photos-held = Non hai foto in attesa. /addestra spiega come si comincia; /codici elenca quello che hai.
no-photo-sent = Qui non c'era nessuna foto. /addestra spiega come si mandano.
apology = Scusa, qualcosa non ha funzionato. Riprova tra un minuto.
for-you = Per te
sent-to-you-alone = Te l'ho mandato nella nostra chat privata.
open-a-private-chat = È solo per te: apri una chat privata con me, premi Avvia e chiedilo di nuovo lì.
who-are-you = Qui Telegram non mi dice chi sei. Scrivimi in una chat privata, o con il tuo nome.
photo-not-fetched = Non sono riuscito a scaricare questa foto da Telegram. Mandamela di nuovo.
photos-not-fetched = Non sono riuscito a scaricare { $name } da Discord, quindi non ho tenuto nessuna di queste foto. Mandale di nuovo, per favore.
console-hint = Scrivi il percorso di una foto o di una cartella di foto, /aiuto oppure /quit.
console-lost = Non so che cosa farne. { console-hint }
console-picture = immagine: { $path }
console-spoiler = immagine: { $path } (può contenere nudità)
console-file = file: { $path } (come { $name })

## Che cos'altro si dice

words-greeting = ciao, salve, ehi, ehilà, buongiorno, buon giorno, buonasera, buona sera, buon pomeriggio, buondì, buonanotte, saluti, cosa sai fare, che cosa sai fare, chi sei, come funziona, come funzioni
words-names = bot, loracode, a tutti, tutti, amico
words-thanks = grazie, grazie infinite, grazie mille, tante grazie, molte grazie, ti ringrazio, ok grazie, perfetto grazie
words-yes = sì, si, certo, va bene, ok, okay, sì grazie, certamente, conferma, confermo, d'accordo, sono d'accordo, fallo, procedi, vai, accetto
words-talk = scusa, scusami, aspetta, wow, ahah, ahaha, ahahah, ops, perché, quando, quanto, puoi, potresti, lo faccio, più tardi, dopo, non ora
synonyms-generate = disegna, immagina, immagine
synonyms-codes = modelli, lora
synonyms-queue = stato, lavori
synonyms-cancel = ferma, stop
words-no = no, no grazie, non ora, lascia stare, lascia perdere, annulla, fermo, fermati, niente, non importa, come non detto
greeting = Ciao! /genera disegna con un LoraCode, /addestra ne crea uno nuovo, e /aiuto elenca il resto.
you-are-welcome = Prego!
answered-no = Va bene, lascio tutto com'è.
nothing-asked = Non ho domande in sospeso per te. /aiuto elenca che cosa so fare.
unknown-command-near = Non conosco questo comando. Volevi dire { $near }? /aiuto li elenca tutti.
edited-too-late = A quel messaggio ho già risposto, e non lo eseguo di nuovo. Mandane uno nuovo.
cannot-hear = Non posso ascoltare registrazioni. Scrivimelo, per favore.
cannot-watch = Mi servono foto, non video. Manda cinque foto di una persona; vanno bene anche fotogrammi del tuo video.
cannot-use = So usare solo foto e parole scritte. /aiuto elenca che cosa so fare.
caption-not-read = Non ho letto le parole che erano insieme. Quello che devo disegnare scrivilo in un messaggio a parte.
photo-with-command = Con la foto è arrivato un comando, quindi non l'ho presa. Per usarla per un LoraCode, mandala senza parole.
photo-with-prompt = Non posso disegnare a partire da una foto, quindi non ho preso la tua: disegno solo quello che hai scritto. Per usarla per un LoraCode, mandala senza parole.

## Tempi, numeri, parole

eta-unknown = nessuna stima finché qui non è finito il primo lavoro
eta-paused = il bot è in pausa; comincia quando riprende
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
link-unknown = Non conosco questa parola, o i suoi dieci minuti sono passati. /collega te ne dà una nuova; scrivila esattamente com'è.
link-same = Questa parola è dell'account che stai usando. Scrivimela sull'altra piattaforma: /collega e la parola.
link-too-often = Troppe parole sbagliate. Aspetta dieci minuti, poi chiedine una nuova con /collega.
link-word =
    La tua parola è { $word }. Entro dieci minuti, scrivimela sull'altra piattaforma: /collega { $word }
    Da quel momento hai gli stessi LoraCode su entrambe. Non mostrarla a nessuno: chi la scrive condivide il tuo account.
linked = Fatto: ora hai gli stessi LoraCode, immagini e limiti su entrambe le piattaforme.

## /coda

nothing-waits = Non hai nulla in corso o in coda. /addestra crea un LoraCode, /genera disegna con uno.
queue-cancel = Annulla { $what }
queue-training-now = addestramento in corso
queue-drawing-now = disegno in corso
queue-training = addestramento, in coda: numero { $position }
queue-drawing = disegno, in coda: numero { $position }

## Il grafico di /status

chart-waiting = In attesa (ore in UTC)
chart-trainings = addestramenti
chart-pictures = immagini
chart-card = GPU, %
chart-use = uso
chart-memory = memoria
chart-ended = Lavori conclusi, per ora
chart-done = riusciti
chart-failed = falliti

## /impostazioni

settings-title = Le tue impostazioni predefinite:
settings-size = Formato: { $size }
settings-style = Stile: { $style }
settings-sound = Notifiche: attive
settings-silent = Notifiche: silenziose
settings-language = Lingua: { $language }
settings-language-of-app = Lingua: { $language }, come la tua app
settings-forgets-photos = Foto: cancellate alla fine dell'addestramento
settings-keeps-photos = Foto: conservate per { $days } giorni, così /continua e /sostituisci possono riusarle
settings-sound-button = Notifiche attive
settings-silent-button = Silenziose
settings-forget-button = Foto non conservate
settings-keep-button = Foto conservate { $days } giorni
settings-app-button = Come la mia app
settings-which-style = Stile predefinito? Lo stile «none» disegna senza.

## Parole di pulsanti ed elenchi

smaller-copy-on-discord = (Inviata come JPEG: il PNG supera il limite di Discord.)
smaller-copy = (Inviata come JPEG: il PNG è troppo grande per una foto di Telegram.)
my-codes = I miei codici
cancel = Annulla
back = Indietro
nobody = Qualcuno
pictures = { $count ->
    [one] { $count } immagine
   *[other] { $count } immagini
}
class-person = persona
class-woman = donna
class-man = uomo
class-dog = cane
class-cat = gatto
class-thing = cosa
class-style = stile
state-training = in addestramento
state-ready = pronto
state-failed = non riuscito
state-cancelled = annullato
allowed-asked = ha chiesto
allowed-once = una volta
allowed-always = sempre
allowed-no = no

## Schede e avvisi

card-drawing = { $count ->
    [one] Disegno { $count } immagine con { $code }
   *[other] Disegno { $count } immagini con { $code }
}
card-training = Addestramento di { $code }
in-line = In coda
in-line-number = In coda: numero { $position }
card-so-far = Finora: { $likeness }
card-failed = Non riuscito: { $why }
card-cancelled = Annullato.
card-done = fatto
could-not-be-finished = non è stato possibile completarlo
getting-ready = mi preparo
step-of = passo { $step } di { $steps }
notice-ready = { $code } è pronto, { $photos }.
notice-further-ready = { $code } è stato addestrato per altri { $steps } passi, { $photos }.
notice-further-no-better = { $code }: altri { $steps } passi non hanno migliorato la somiglianza, quindi l'ho lasciato com'era, { $photos }.
notice-further-failed =
    Non sono riuscito ad addestrare ancora { $code }: { $why }
    È rimasto com'era, e disegna come prima.
photos-deleted = e le tue foto sono state cancellate
photos-kept = e conservo le tue foto per { $days } giorni, come hai scelto
trigger-means = Nella descrizione, «{ $trigger }» indica chi si vede nelle tue foto; scrivila in inglese, perché il modello capisce quello.
try-it = Prova:
notice-train-failed =
    L'addestramento di { $code } non è riuscito: { $why }
    Le tue foto sono state cancellate. Per riprovare: /addestra
notice-train-resumed = L'addestramento di { $code } è stato interrotto e sta riprendendo da solo. Non devi fare nulla.
notice-generate-failed =
    Nessuna immagine con { $code }: { $why }
    Il tuo LoraCode è a posto; riprova con /genera.
cancelled-training = Annullato: { $code } non verrà addestrato, e le sue foto sono state cancellate. Per ricominciare, manda cinque foto: /addestra
cancelled-further = Annullato: { $code } è rimasto com'era, e disegna come prima.
cancelled-drawing = Annullato: nessuna immagine, stavolta. { $code } è rimasto com'era.
worker-keeps-dying = La scheda grafica si è bloccata cinque volte mentre ci lavoravo, quindi ho rinunciato. Riprova più tardi, o dillo a chi gestisce questo bot.
photos-too-old = Le foto di questo addestramento hanno { $days } giorni, e non le conservo più a lungo. Manda di nuovo le cinque foto, per favore.

## Somiglianza

likeness = somiglianza { $percent }% ({ $words })
likeness-button = Somiglianza
likeness-unknown = non è stato misurato nulla.
likeness-very = molto alta
likeness-close = alta
likeness-fair = discreta
likeness-poor = scarsa
likeness-measured = { $count ->
    [one] La sua somiglianza è { $percent }% ({ $words }), misurata su { $count } immagine.
   *[other] La sua somiglianza è { $percent }% ({ $words }), misurata su { $count } immagini.
}
likeness-ended-early = Mi sono fermato al passo { $step }, perché da lì la somiglianza calava: ho risparmiato { $span }.
likeness-earlier-step = Ho tenuto il passo { $step }: al passo { $last } era scesa al { $percent }%.
likeness-earlier-step-no-worse = Ho tenuto il passo { $step }; altri passi non l'hanno migliorata.
likeness-faceless = { $count ->
    [one] { $count } di queste non mostra un viso nitido.
   *[other] { $count } di queste non mostrano un viso nitido.
}
likeness-copies = { $count ->
    [one] { $count } di queste ripete quasi una delle tue foto: mandane di più varie.
   *[other] { $count } di queste ripetono quasi una delle tue foto: mandane di più varie.
}
likeness-odd-photo = La foto { $number } è diversa dalle altre e può aver abbassato la somiglianza; con /sostituisci la cambi.

## /codici

no-code-yet = Non hai ancora un LoraCode. { $how }
codes-older = e altri { $more } più vecchi
codes-shared = Condivisi con te:
codes-try = Prova: { $example }
codes-draw-with = Disegna con { $code }
code-trigger = parole chiave: { $trigger }
generate = Genera
export-button = Esporta
share-button = Condividi
rename-button = Rinomina
more-button = Addestra ancora
delete-button = Elimina
all-my-codes = Tutti i miei codici
ask-new-name-in-group = Ora rispondi al messaggio qui sotto con il nuovo nome per { $code }. Qui lo leggono anche gli altri.
ask-new-name = Ora scrivi il nuovo nome di { $code }; lo vedi solo tu.
ask-new-name-discord = Ora scrivimi il nuovo nome di { $code } in un messaggio diretto; lo vedi solo tu.
ask-to-remove = Elimino per sempre { $code }, il suo file e tutte le immagini disegnate con lui? I lavori che lo usano vengono fermati. Per tenerne una copia, prima esportalo.
delete-for-good = Elimina per sempre
keep-it = Tienilo
removed = { $code } è stato eliminato, con le sue immagini. Nessuno riceverà più questo numero.

## /continua, /sostituisci

further-started = Addestro { $code } per altri { $steps } passi. Finché non ho finito, disegna come prima.
set-further = Queste foto addestreranno { $code } per altri { $steps } passi. Non ho più quelle vecchie, quindi me ne servono di nuovo cinque; con /impostazioni la prossima volta le conservo.
set-swaps = Queste foto addestreranno { $code } per altri { $steps } passi, con una nuova foto al posto della numero { $number }.
swap-wanted = Ora manda la foto che sostituisce la numero { $number }.
set-leave = Non per { $code }
send-five-again = Manda di nuovo cinque
nothing-to-replace = Le foto di { $code } sono state cancellate, come promesso, quindi non posso sostituirne una. Manda di nuovo tutte e cinque, compresa quella migliore, e lo addestro ancora con quelle. Per conservare le foto { $days } giorni la prossima volta: /impostazioni
set-is-open = { $held ->
    [one] Hai { $held } foto in attesa per un altro LoraCode. Prima ricomincia o manda le altre: /addestra
   *[other] Hai { $held } foto in attesa per un altro LoraCode. Prima ricomincia o manda le altre: /addestra
}
which-code = Quale LoraCode? Scrivi le sue otto cifre; /codici elenca i tuoi. Per esempio: { $example }
not-a-code = Un LoraCode ha otto cifre, come 4071 3386. Per esempio: { $example }
more-range = Quanti passi ancora? Da { $least } a { $most }, per esempio: { $example }
replace-range = Quale foto? Scrivi il suo numero, da 1 a { $most }, per esempio: { $example }

## Il primo minuto, e le foto

how-to-send-telegram = Mandami cinque foto di una persona: insieme come album, una per una, o come file.
how-to-send-discord = Mandami cinque foto di una persona in un messaggio diretto, insieme o una per una. Oppure scegli /addestra nell'elenco che si apre quando scrivi una barra: apre un modulo per mandarle.
how-to-send-console = Scrivi i percorsi di cinque foto di una persona, o quello di una cartella che le contiene.
agree = Confermo
use-first-five = Usa le prime cinque
start-over = Ricomincia
ask-consent = Conferma, per favore: le foto mostrano te, o una persona che è d'accordo, e hai almeno 18 anni.
like-these = Cinque come queste formano una buona serie: ognuna mostra qualcosa che le altre non mostrano.
example-close = vicino, viso nitido
example-far = più lontano
example-angle = altra angolazione
example-mood = altra espressione
example-light = altra luce
welcome =
    { $how } Ricevi un LoraCode di 8 cifre, e un messaggio quando è pronto.
    Le tue foto vengono cancellate alla fine dell'addestramento, e al più tardi dopo { $days } giorni.
    Solo tu e le persone che autorizzi potete disegnare con il tuo LoraCode: conoscerlo non basta.
consent-first =
    Prima una cosa. { ask-consent } Le tue foto vengono cancellate alla fine dell'addestramento.
    Premi il pulsante.
consent-first-photos =
    Grazie, ma prima una cosa; non ho ancora tenuto nessuna di queste. { ask-consent } Le tue foto vengono cancellate alla fine dell'addestramento.
    Premi il pulsante, poi mandale di nuovo.
thank-you = Grazie. { $next }
photos-too-many = Hai { $held } foto, e me ne servono esattamente { $wanted }. Non è cominciato nulla. Uso le prime cinque, o vuoi ricominciare?
photos-held = { $missing ->
    [one] Ne hai { $held } su { $wanted }; ne serve ancora { $missing }.
   *[other] Ne hai { $held } su { $wanted }; ne servono ancora { $missing }.
}
photos-in-a-group =
    Qui leggono anche altri. Nella nostra chat privata mostro le tue foto solo a te: { $link }
    Oppure mandale qui, in risposta a un mio messaggio.
set-shows = Mostrano: { $class }
set-name = nome: { $name }
name-it = Dai un nome
set-complete = Sono tutte e cinque: { $code }.
set-deleted = Queste foto sono state cancellate.
set-below = Le tue foto sono di nuovo qui sotto.
set-waits = Hai ancora { $held } foto su { $wanted } in attesa, e tra qualche ora le cancello. Manda le altre per continuare; /addestra mostra quello che ho.
ask-name-in-group = Ora rispondi al messaggio qui sotto con il nome. Qui lo leggono anche gli altri.
ask-name = Ora scrivi il nome; lo vedi solo tu.
wrong-name = Un nome ha da 1 a { $most } caratteri. Scrivine un altro, per favore.
photo-gone = Quella foto non è più nella serie. /addestra mostra quello che ho.
photo-line = Foto { $number }: { $sentence }
same-photo = Questa ce l'ho già; mandane un'altra.
same-photo-or-no-room = non tenuta: ce l'ho già, o non c'è posto, perché ne tengo dieci al massimo.
too-many-files = Sono { $sent } file in una volta, e ne accetto { $most } al massimo, quindi non ne ho preso nessuno. Manda esattamente cinque foto.
photos-forgotten = { $count ->
    [one] Cancellata: { $count } foto. { $how }
   *[other] Cancellate: { $count } foto. { $how }
}
training-started = Grazie, sono tutte e cinque. Il tuo LoraCode è { $code }.
too-many-trainings = Hai già { $most } addestramenti in corso. Manda altre foto quando uno è finito, o fermane uno con /annulla.
too-many-generations = Sto ancora disegnando { $most } delle tue richieste. Chiedi di nuovo quando una è finita, o fermane una con /annulla.
compare-hint = I numeri sono le intensità: mettine una dopo un prompt, come --strength { $strength }.
compare-off = Su questo bot il confronto è spento. Metti --strength 0.8 dopo un prompt per provarne una.
too-many-codes = In un'immagine ci stanno al massimo { $most } LoraCode; togline qualcuno.
still-training = { $code } è ancora in addestramento: { $left }. Ti scrivo quando è pronto.
still-training-guest = { $code } è ancora in addestramento: { $left }. Riprova allora.
not-usable-failed = L'addestramento di { $code } non è riuscito. Manda cinque foto per avere un nuovo LoraCode: /addestra
not-usable-cancelled = L'addestramento di { $code } è stato annullato. Manda cinque foto per avere un nuovo LoraCode: /addestra
nothing-open-for = Non c'è nulla in corso o in coda per { $code }.

## Foto che non si possono usare

photo-not-a-picture = Questo file non è un'immagine. Manda una foto come JPEG, HEIC, AVIF, PNG o WebP.
photo-other-format = Non so leggere questo tipo di immagine. Mandala come JPEG, HEIC, AVIF, PNG o WebP.
photo-broken = Questa immagine è danneggiata o incompleta. Mandala di nuovo, o scegline un'altra.
photo-too-many-bytes = Questo file è troppo grande: il limite è { $max_megabytes } MB. Mandane una copia più piccola.
photo-too-many-bytes-as-photo = { photo-too-many-bytes } Mandato come foto invece che come file va bene.
photo-too-many-pixels = Questa immagine ha troppi pixel: il limite per un JPEG è { $max_megapixels } milioni. Rimpiccioliscila, per favore.
photo-too-many-pixels-whole = Questa immagine ha troppi pixel: il limite per HEIC e JPEG progressivo è { $max_whole_megapixels } milioni. Salvala come JPEG normale, o rimpiccioliscila.
photo-too-many-pixels-web = Questa immagine ha troppi pixel: il limite per PNG, WebP e AVIF è { $max_web_megapixels } milioni. Salvala come JPEG, o rimpiccioliscila.
photo-too-small = Questa immagine è troppo piccola o troppo stretta: mi servono almeno { $min_side_px } pixel sul lato corto. Manda l'originale, se puoi come file.
photo-took-too-long = Non sono riuscito a leggere questa immagine in tempo. Mandala di nuovo, o scegline un'altra.

## /genera con i pulsanti

no-ready-code = Nessuno dei tuoi LoraCode può ancora disegnare. /codici mostra a che punto sono; /addestra ne crea uno.
draft-gone = Quella bozza non c'è più; /genera ne comincia una nuova.
draft-dropped = Scartato: non ho disegnato nulla. /genera disegna qualcosa di nuovo.
question-dropped = Scartato: il nome resta com'è.
jobs-go-on = Quello che hai in corso continua; un altro /annulla ferma il più recente.
choose-code = Quale LoraCode deve disegnare?
draft =
    Con { $code } · stile: { $style } · formato: { $size } · immagini: { $count }
    Ora scrivi che cosa disegnare, in inglese: il modello capisce quello.
draft-in-group =
    Con { $code } · stile: { $style } · formato: { $size } · immagini: { $count }
    Ora rispondi al messaggio qui sotto con che cosa disegnare, in inglese: il modello capisce quello.
reply-to-this = rispondi a questo messaggio, altrimenti non lo vedo.
draft-with-form =
    Con { $code } · stile: { $style } · formato: { $size } · immagini: { $count }
    Premi «Che cosa disegnare» quando vuoi, e scrivilo in inglese: il modello capisce quello.
draft-with-form-or-words =
    Con { $code } · stile: { $style } · formato: { $size } · immagini: { $count }
    Ora scrivi qui che cosa disegnare, in inglese, o premi «Che cosa disegnare».
ask-to-draw = Devo disegnare queste parole? «{ $words }»
draw-these = Disegnale
draft-write = Che cosa disegnare
draft-drop = Scarta
which-style = Quale stile?
no-style = Nessuno stile

## Risultati

show-what = Quale risultato? Il suo numero sta davanti alla descrizione. Per esempio: { $example }
no-such-result = Non hai un risultato con questo numero. Il numero sta davanti alla descrizione, come #12.
deleted = Hai eliminato quel risultato, descrizione e immagini. /genera disegna qualcosa di nuovo.
not-done = Questa non è un'immagine finita. /mostra e il suo numero ti dicono a che punto è.
as-large-as-i-can = Questa immagine è già la più grande che so disegnare.
picture-gone = L'immagine da cui partire non c'è più.
lora-file-gone = Il file di questo LoraCode non c'è più. Dillo a chi gestisce questo bot, per favore.
too-coarse-to-split = Questo LoRA non si può dividere in file abbastanza piccoli per questa piattaforma.
pictures-gone = Le immagini non ci sono più; disegnale di nuovo.
result-deleted = { $result }: eliminato
ask-to-delete = { $count ->
    [one] { $result }: elimino per sempre questa immagine e la sua descrizione?
   *[other] { $result }: elimino per sempre queste { $count } immagini e la loro descrizione?
}
result-is-deleted = { $result } è stato eliminato, descrizione e immagini.
one-picture-gone = L'immagine { $number } di { $result } non c'è più; puoi disegnarla di nuovo.
edit-prompt-in-group =
    Ora rispondi al messaggio qui sotto con la nuova descrizione per { $result }; tutto il resto rimane. Quella vecchia:
    { $prompt }
edit-prompt =
    Ora scrivi la nuova descrizione per { $result }; tutto il resto rimane. Quella vecchia:
    { $prompt }
best-told = La più somigliante su { $count }: somiglianza { $chosen }. Le altre: { $others }.
best-nobody = nessun viso nitido
together-told = Somiglianza di ognuno: { $likenesses }.
best-not-told = Non so dire quale sia la più somigliante, quindi eccole tutte.
result-without-weights = Questo modello di base non legge pesi come (parola:1.3), quindi non sono stati usati.
result-drawn-otherwise = Dopo { $result } le immagini veloci si disegnano in un altro modo: queste possono essere diverse.
best-unknown = Non posso confrontare la somiglianza delle immagini di { $code }: durante l'addestramento non è stato misurato nulla. Chiedine { $count } senza «best», e scegli tu.
recipe-prompt = Descrizione: { $prompt }
recipe-sent = Inviato al modello: { $prompt }
recipe-not = Da evitare: { $words }
recipe-seed = Seme: { $seed }
recipe-seeds = Semi: da { $seed } a { $last }
recipe-size = Formato
recipe-steps = Passi
recipe-guidance = Fedeltà
recipe-sampler = Campionatore
recipe-redrawn = Riduzione del rumore
recipe-variation-seed = Seme della variazione
recipe-variation = Variazione
recipe-acceleration = Accelerazione
recipe-model = Modello
recipe-strength = Forza: { $strength }
recipe-lora = LoRA: { $lora }
recipe-lora-steps = LoRA: { $lora }, addestrato per { $steps } passi
recipe-hash = { $code }, hash { $hash }
recipe-source = Fatta a partire da { $result }
recipe-show = Per rivederlo: { $example }
export = { $code } come file. AUTOMATIC1111: mettilo in models/Lora e scrivi { $words }. ComfyUI: models/loras, nodo Load LoRA. diffusers: load_lora_weights.
export-newer = { $code } come file. ComfyUI: mettilo in models/loras, aggiungi il nodo Load LoRA e scrivi “{ $words }”. diffusers: load_lora_weights. AUTOMATIC1111 non conosce questo modello di base.
export-parts = È troppo grande per un solo file qui: usa tutte le { $count } parti insieme, con la stessa forza.
again = Ancora
edit-prompt-button = Cambia descrizione
recipe-button = Ricetta
variations = Variazioni
larger = Più grande
draw-fine = Più accurata
draw-fast = Più veloce

## /privacy, /dimenticami

forget-too-late = L'ho chiesto più di un'ora fa, quindi non è stato cancellato nulla. Chiedilo di nuovo: /dimenticami
privacy =
    Che cosa conservo di te, e per quanto:
    Foto: fino alla fine del loro addestramento. Solo se lo scegli con /impostazioni, finché non hanno { $days } giorni, così un LoraCode si può addestrare ancora; mai più a lungo. Le foto di una serie che non hai finito: 24 ore.
    LoraCode, immagini e le loro descrizioni: finché non li elimini. Le tue segnalazioni: fino a /dimenticami.
    Il tuo ID su questa piattaforma, per riconoscerti, e la lingua della tua app. Il tuo nome solo se chiedi il LoraCode di un'altra persona: lo vede chi lo possiede, e viene cancellato quando finisce la condivisione.
    Foto e immagini restano sulla macchina di chi gestisce questo bot. Non vengono mostrate ad altri, e nient'altro viene addestrato con esse. Luogo e ora vengono tolti dalle foto quando arrivano.
    Adesso: { $kept }.
    /dimenticami cancella tutto subito.
ask-to-forget = Devo dimenticarti? Vengono cancellati: { $kept }. Tutto quello che è in corso viene fermato, e sparisce anche quello che altri hanno disegnato con i tuoi LoraCode. Non si può tornare indietro. Per tenere un LoRA, prima usa /esporta.
delete-everything = Cancella tutto
forgotten =
    Ricevuta: tutti i tuoi dati sono stati cancellati il { $day } alle { $time } UTC.
    Foto: { $photos }
    LoraCode con i loro file: { $codes }
    Immagini: { $pictures }
    Addestramenti e disegni, con le loro descrizioni: { $jobs }
    Account su: { $platforms }
    Quello che resta: i soli numeri di questi codici, perché nessuno li riceva di nuovo; nulla li collega a te. I messaggi nella nostra chat puoi cancellarli tu lì.
forgotten-codes = { $count } ({ $codes })
forgotten-codes-more = { $count } ({ $codes } e altri { $more })
forgotten-none = nessuna
kept-photos = { $count ->
    [one] { $count } foto
   *[other] { $count } foto
}
kept-codes = { $count ->
    [one] { $count } LoraCode
   *[other] { $count } LoraCode
}
kept-drawings = { $count ->
    [one] { $count } disegno
   *[other] { $count } disegni
}

## Condivisione, segnalazioni

ask-what = Il LoraCode di chi? Scrivi il codice di un'altra persona, per esempio: { $example }
asked-too-often = Hai chiesto tutti i LoraCode che puoi chiedere in un giorno. Chiedi di nuovo domani, per favore.
share-in-private = Questo resta tra noi: apri una chat privata con me e premilo lì.
share-word-unknown = Quell'invito è scaduto, o non è mai esistito. Chiedine uno nuovo, o scrivi /chiedi e il LoraCode.
share-word-too-often = Troppe parole sbagliate. Aspetta dieci minuti, per favore.
report-what = Scrivi il codice e, in poche parole, che cosa non va: { $example }
report-example = sono foto mie
reported-too-often = Hai mandato tutte le segnalazioni che puoi mandare in un giorno. Se non può aspettare, scrivi a chi gestisce questo bot.
reported = Grazie. Ho segnalato { $code } a chi gestisce questo bot.
asked-for = Se esiste un LoraCode { $code }, ho chiesto a chi lo possiede. Ti scrivo se te lo permette.
usable-already = Puoi disegnare con { $code }: { $how }
share-once = Una volta
share-always = Sempre
share-no = No
share-back = Revoca
share-everybody = Tutti quelli con { $code }
share-asked = { $who } vuole disegnare con il tuo { $code }. Non può esportarlo, rinominarlo o eliminarlo, e quello che disegna resta suo. Lo permetti?
share-may-once = { $who } può disegnare una volta con il tuo { $code }.
share-may-always = { $who } può disegnare con il tuo { $code } finché non lo revochi.
share-may-not = { $who } non può disegnare con il tuo { $code }. Non te lo chiederò più, e l'altra persona non ne saprà nulla.
share-revoked = { $who } non può più disegnare con il tuo { $code }. Quello che ha disegnato resta suo.
you-may-draw-once = Ora puoi disegnare una volta con { $code }: { $how }
you-may-draw-always = Ora puoi disegnare con { $code } quante volte vuoi: { $how }
sharing-nobody = { $code }: lo puoi usare solo tu.
sharing-some = Chi può disegnare con { $code }:
sharing-how = Chi conosce il numero può chiedertelo: /chiedi { $code }. Oppure manda un link.
sharing-link-open = Un link resta aperto ancora per { $span }.
sharing-more = Altri
sharing-make-link = Crea un link
sharing-new-link = Nuovo link
sharing-end-link = Chiudi il link
sharing-who = Chi ce l'ha
share-link-address =
    { $address }
    Su Discord mi mandano questa parola: { $word }
share-link-word = Mi mandano questa parola: { $word }
share-link =
    Con questo, fino a { $people } persone possono disegnare con { $code }. Vale per { $days } giorni. Ti avviso per ognuna, e puoi revocarlo.
    { $how }
link-ended = Il link per { $code } è chiuso. Chi l'ha usato può ancora disegnare, finché non lo revochi.
who-named = { $name } ({ $platform })
who-nameless = Qualcuno su { $platform }

## Chi può entrare, e quanto

banned = Il tuo accesso a questo bot è stato bloccato. /privacy e /dimenticami funzionano ancora.
not-on-the-list = Questo bot è solo per le persone indicate da chi lo gestisce. Chiedi l'accesso, e comunica il tuo ID: { $identity }
invitation-first-telegram = Questo bot è solo su invito. Mandami la parola che hai ricevuto.
invitation-first-discord = Questo bot è solo su invito. Mandami la parola che hai ricevuto, in un messaggio diretto.
invitation-first-console = Questo bot è solo su invito. Scrivi la parola che hai ricevuto.
trainings-used-up = { $most ->
    [one] Puoi fare { $most } addestramento al giorno, e l'hai già fatto. Torna domani.
   *[other] Puoi fare { $most } addestramenti al giorno, e li hai già fatti. Torna domani.
}
pictures-used-up = { $most ->
    [one] Puoi avere { $most } immagine all'ora. Chiedine di meno, o riprova un po' più tardi.
   *[other] Puoi avere { $most } immagini all'ora. Chiedine di meno, o riprova un po' più tardi.
}
your-code-was-taken-down = Chi gestisce questo bot ha eliminato il tuo LoraCode { $code } e tutto quello che è stato disegnato con esso. Se pensi che sia un errore, scrivigli.

## Richieste che non si possono leggere

wish-example = sks person as an astronaut
wish-wrong-code = Un LoraCode ha otto cifre, come 4071 3386; /codici elenca i tuoi.
wish-wrong-size = { $option } è square, portrait, landscape, oppure larghezza x altezza come 512x768: da { $least } a { $most }, a passi di { $step }.
wish-empty = Che cosa devo disegnare? Scrivilo in inglese, per esempio: { wish-example }
wish-only-no = Tutto quello che segue --no è ciò che non va disegnato. Scrivi prima che cosa disegnare, in inglese: { wish-example } --no blurry
wish-prompt-too-long = La descrizione ha { $count } caratteri; il limite è { $most }. Accorciala, per favore.
wish-negative-too-long = Il testo dopo --no ha { $count } caratteri; il limite è { $most }. Accorcialo, per favore.
wish-unknown-option = Non conosco l'opzione --{ $name }: toglila. Conosco { $options }.
wish-unknown-option-near = Non conosco l'opzione --{ $name }. Intendevi --{ $near }?
wish-unknown-network = Non ho nulla che si chiami { $words }. Al suo posto scrivi un LoraCode: /codici elenca i tuoi.
wish-several-strengths = Qui tutti i LoRA di un'immagine hanno la stessa forza. Scrivila una volta, per esempio --strength 0.8, e togli le altre.
wish-twice = --{ $name } compare due volte; lasciane una.
wish-needs-value = --{ $name } vuole un valore dopo, come in: --seed 7 --no blurry
wish-sampler = --sampler è uno tra: { $samplers }.
wish-value = --{ $name } vuole un numero da { $low } a { $high }, come --{ $name } { $example }.
wish-best = --best 1-of-{ $most } disegna { $most } immagini e manda la più somigliante; va bene da 2 a { $most }.
wish-fast-and-fine = --fast e --fine sono opposti; lasciane uno.
wish-n-and-best = --best dice già quante disegnarne; togli --n.
unknown-style-near = Non conosco lo stile { $style }. Intendevi { $near }?
unknown-style = Non conosco lo stile { $style }. Conosco { $styles }.
or = o

## /aiuto, e i comandi come li mostrano le piattaforme

command-start = start
command-train = addestra
command-generate = genera
command-compare = confronta
command-show = mostra
command-codes = codici
command-more = continua
command-replace = sostituisci
command-ask = chiedi
command-export = esporta
command-queue = coda
command-cancel = annulla
command-link = collega
command-settings = impostazioni
command-report = segnala
command-privacy = privacy
command-forgetme = dimenticami
command-help = aiuto

help-start = che cosa faccio, e quali foto vanno bene
help-train = comincia, o vedi quali foto mancano
help-generate = disegna: il tuo LoraCode, poi che cosa disegnare; opzioni { $options }
help-compare = disegna un prompt con un LoraCode a tre intensità, una accanto all'altra
help-show = rivedi un risultato dal suo numero
help-codes = i tuoi LoraCode: disegna, condividi, dai un nome, esporta, elimina
help-more = addestra ancora un LoraCode: il codice, poi quanti passi
help-replace = sostituisci una foto di un LoraCode, dal suo numero, e addestralo ancora
help-ask = chiedi al proprietario di un LoraCode se puoi disegnare con esso
help-export = il file LoRA di un codice, per altri programmi
help-queue = quello che hai in corso o in coda
help-cancel = ferma il tuo lavoro più recente, o quello di un codice
help-link = usa gli stessi LoraCode su un'altra piattaforma
help-settings = formato, stile, notifiche e lingua predefiniti
help-report = segnala un LoraCode a chi gestisce questo bot
help-privacy = che cosa conservo di te, e per quanto
help-forgetme = cancella tutti i tuoi dati
help-help = questo elenco
help-example = Esempio: { $example }

telegram-start = che cosa fa questo bot
telegram-train = crea un LoraCode da cinque foto
telegram-generate = disegna: /genera <codice> <descrizione>, o /genera da solo
telegram-compare = tre intensità a confronto: /confronta <codice>
telegram-show = rivedi un risultato: /mostra <numero>
telegram-codes = i tuoi LoraCode
telegram-more = addestra ancora un codice: /continua <codice> 300
telegram-replace = sostituisci una foto: /sostituisci <codice> 4
telegram-ask = disegna con quello di un altro: /chiedi <codice>
telegram-export = il file LoRA di un codice: /esporta <codice>
telegram-queue = quello che hai in corso o in coda
telegram-cancel = ferma il tuo lavoro più recente
telegram-link = gli stessi LoraCode su un'altra piattaforma
telegram-settings = formato, stile, notifiche, lingua predefiniti
telegram-report = segnala un LoraCode: /segnala <codice>
telegram-privacy = che cosa conservo di te, e per quanto
telegram-forgetme = cancella tutti i tuoi dati
telegram-help = tutti i comandi

discord-start = Che cosa fa questo bot, e quali foto servono
discord-start-word = La parola che hai ricevuto, se ne hai una
discord-train = Addestra su cinque foto di una persona; apre un modulo per mandarle
discord-train-photo = Una foto, solo se il modulo non ti si apre
discord-menu-train = Addestra su queste foto
discord-generate = Disegna con uno dei tuoi LoraCode
discord-generate-code = Il tuo LoraCode: otto cifre
discord-generate-prompt = Che cosa disegnare, come: sks person as an astronaut; può contenere altri LoraCode
discord-generate-negative = Che cosa non disegnare
discord-generate-style = Parole pronte intorno alle tue; none: nemmeno il tuo stile predefinito
discord-generate-size = portrait, square, landscape, o larghezza x altezza in px come 512x768
discord-generate-count = Quante immagini
discord-generate-best = Ne disegna tante e manda la più somigliante
discord-generate-seed = Lo stesso seme disegna di nuovo la stessa immagine
discord-generate-steps = Per quanti passi ogni immagine viene rifinita
discord-generate-guidance = Quanto seguire da vicino la descrizione
discord-generate-strength = Con quanta forza si applica il LoRA: 1 è come è stato addestrato
discord-generate-speed = fast: pochi passi, come di solito; fine: più passi, più dettagli
discord-generate-sampler = Come il rumore diventa l'immagine
discord-show = Rivedi uno dei tuoi risultati, con le immagini e i pulsanti
discord-show-id = Il numero nel testo del risultato, come #123
discord-compare = Disegna un prompt con un LoraCode a tre intensità, una accanto all'altra
discord-compare-code = Il tuo LoraCode: otto cifre
discord-compare-prompt = Che cosa disegnare; senza, un ritratto
discord-export = Il file di uno dei tuoi LoraCode, per AUTOMATIC1111 e ComfyUI
discord-export-code = Il tuo LoraCode: otto cifre
discord-more = Addestra ancora uno dei tuoi LoraCode
discord-more-code = Il tuo LoraCode: otto cifre
discord-more-steps = Quanti altri passi
discord-replace = Sostituisci una foto di un LoraCode e addestralo ancora
discord-replace-code = Il tuo LoraCode: otto cifre
discord-replace-photo = Quale foto: il suo numero nella serie
discord-ask = Chiedi al proprietario di un LoraCode se puoi disegnare con esso
discord-ask-code = Il LoraCode, o la parola di un invito: share_…
discord-report = Segnala un LoraCode a chi gestisce questo bot
discord-report-code = Il LoraCode
discord-report-words = Che cosa non va
discord-codes = I tuoi LoraCode
discord-queue = Quello che hai in corso o in coda
discord-cancel = Ferma il tuo lavoro più recente, o quello di un LoraCode
discord-cancel-code = Solo il lavoro di questo LoraCode
discord-link = Usa gli stessi LoraCode su un'altra piattaforma
discord-link-word = La parola che ti ho mostrato sull'altra piattaforma; lasciala vuota per averne una
discord-settings = Formato, stile, notifiche e lingua predefiniti
discord-privacy = Che cosa conservo di te, e per quanto
discord-forgetme = Cancella tutti i tuoi dati
discord-help = Che cosa so fare

form-photos = Addestra su cinque foto
form-photos-label = Cinque foto di una persona
form-photos-about = JPEG, HEIC, AVIF, PNG o WebP, fino a 20 MB. Cancellate a fine addestramento, se non scegli altro.
form-draft = Disegna un'immagine
form-prompt = Disegna con una nuova descrizione
form-prompt-label = Che cosa disegnare, in inglese

## Quello che non viene preso o mostrato

photo-shows-nudity = Questa foto sembra mostrare nudità, quindi non l'ho presa. Mandane una in cui la persona è vestita. Se mi sbaglio, un'altra foto della stessa scena può andare bene.
photo-not-checked = Non sono riuscito a controllare questa foto, quindi non l'ho presa. Mandala di nuovo più tardi, per favore.
withheld = Non mostrata: il controllo di questo bot l'ha scambiata per nudità. Riprova aggiungendo dei vestiti alla descrizione.
no-pictures-here = In questa chat non posso mandare immagini; usa /mostra nella nostra chat privata per vederle.
pictures-sent-privately = In questa chat non posso mandare immagini, quindi te le mando nella nostra chat privata.
card-elsewhere = { $result } è finito, ma qui non posso mostrartelo. Ti scrivo nella nostra chat privata.
withheld-unseen = Non mostrata: questo bot non è riuscito a controllarla. Per riprovare: /mostra e il suo numero.
queue-full = { $count ->
    [one] La coda è piena, con { $count } lavoro. Chiedi di nuovo tra circa { $span }, per favore.
   *[other] La coda è piena, con { $count } lavori. Chiedi di nuovo tra circa { $span }, per favore.
}
chat-full = { $count ->
    [one] Questa chat ha { $count } lavoro in coda, ed è il limite. Chiedi di nuovo tra circa { $span }, o scrivimi in privato.
   *[other] Questa chat ha { $count } lavori in coda, ed è il limite. Chiedi di nuovo tra circa { $span }, o scrivimi in privato.
}
not-drawn-here = “{ $words }” è bloccato su questo bot. Chiedi qualcos'altro, per favore.

## Foto che il consigliere ha guardato

use-anyway = Usale comunque
train-on-these = Addestra su queste
photos-doubtful = Le hai tutte e cinque, e non ho ancora cominciato: guarda prima questo, per favore. Togli una foto con ✕ e il suo numero e mandane un'altra, o usale così come sono.
photos-all-five = Le hai tutte e cinque.
codes-more = e altri { $more }
coach-not-seen = Non sono riuscito a guardare bene la foto { $number }. Puoi usarla, o mandarla di nuovo.
coach-no-face = Non vedo un viso nitido nella foto { $number }: mandane una con il viso di fronte.
coach-more-faces = La foto { $number } mostra { $faces } persone: ritagliala su una sola, o mandane un'altra.
coach-faces-behind = C'è qualcuno sullo sfondo della foto { $number }: ritagliala, o usala così com'è.
coach-face-small = Il viso nella foto { $number } è largo { $face_px } pixel, e me ne servono { $wanted_px }: mandane una più da vicino, o il file originale.
coach-face-far = Il viso nella foto { $number } è lontano: ritagliala più da vicino, o usala così com'è.
coach-face-cut = Il viso nella foto { $number } è tagliato dal bordo: meglio una che lo mostri tutto.
coach-blurred = La foto { $number } è sfocata: mandane una più nitida.
coach-blurred-mild = La foto { $number } è un po' sfocata: meglio una più nitida.
coach-dark = La foto { $number } è scura: mandane una con più luce sul viso.
coach-dark-mild = La foto { $number } è un po' scura: meglio più luce sul viso.
coach-blown-out = La foto { $number } ha troppa luce: il { $percent }% del viso è bianco. Mandane un'altra.
coach-blown-out-mild = La foto { $number } è molto chiara: il { $percent }% del viso è bianco puro.
coach-grey = La foto { $number } è in bianco e nero, e il tuo LoraCode potrebbe disegnare in grigio: meglio una a colori.
coach-small = La foto { $number } ha solo { $short_px } pixel sul lato corto, e { $wanted_px } sarebbero meglio: manda il file originale, se puoi.
coach-other-person = La foto { $number } sembra mostrare un'altra persona: mandane un'altra.
coach-unsure-person = Non sono sicuro che la foto { $number } mostri la stessa persona delle altre. È così?
coach-same-picture = La foto { $number } è la stessa immagine della foto { $photo }: mandane un'altra.
coach-much-alike = Le foto { $photo } e { $number } sono quasi identiche; una diversa aiuterebbe di più.
mark-not-seen = non vista
mark-no-face = senza viso
mark-more-faces = { $faces } persone
mark-faces-behind = sfondo
mark-face-small = viso piccolo
mark-face-far = viso lontano
mark-face-cut = viso tagliato
mark-blurred = sfocata
mark-dark = scura
mark-blown-out = troppo chiara
mark-grey = senza colori
mark-small = piccola
mark-other-person = altra persona
mark-unsure-person = stessa persona?
mark-same-picture = uguale a { $photo }
mark-much-alike = come { $photo }
advice-turn = La testa guarda dalla stessa parte in tutte: una di lato aiuterebbe.
advice-distance = Sono tutte dalla stessa distanza: una da più vicino o da più lontano aiuterebbe.
advice-light = Hanno tutte la stessa luce: una fatta da un'altra parte aiuterebbe.

# Why the worker could not do a job
fallback-out-of-memory = La memoria non bastava. L'addestramento continua, un po' più lento.
fallback-not-finite = I numeri sono usciti dai limiti. L'addestramento continua con più precisione, un po' più lento.
worker-unexpected = Qualcosa non ha funzionato durante il lavoro; il registro del worker dice di più. Riprova, per favore.
worker-no-photos = Non ci sono foto per l'addestramento.
worker-trigger-not-letters = '{ $name }' non può essere il trigger: { $model } impara solo parole di lettere.
worker-photo-unreadable = Una delle foto non si riesce a leggere come immagine.
worker-photo-cropped-away = Una delle foto, una volta ritagliata, resta vuota.
worker-training-out-of-memory = La scheda grafica ha troppo poca memoria per un addestramento a { $resolution_px } px. Dillo a chi gestisce questo bot, per favore.
worker-training-not-finite = L'addestramento è diventato instabile e si è dovuto fermare. Dillo a chi gestisce questo bot, per favore.
worker-image-too-large = È troppo per la scheda grafica; chiedi un formato più piccolo o meno immagini.
worker-image-not-finite = L'immagine è uscita dai limiti (numeri troppo grandi); prova con meno forza o meno guidance.
worker-start-image-damaged = L'immagine da cui partire è danneggiata.
worker-unknown-sampler = '{ $name }' non è un sampler; i sampler sono { $known }.
worker-sampler-fixed = '{ $name }' non si può scegliere: questo modello di base disegna solo con { $known }.
worker-no-guidance = { $model } disegna senza guidance: togli guidance e prompt negativo, e scrivi nel prompt cosa mostrare.
worker-unknown-shape = '{ $name }' non è un formato; i formati sono { $known }.
worker-too-many-loras = In un'immagine ci stanno al massimo { $limit } LoraCode.
worker-lora-damaged = Questo file LoRA è danneggiato, o non è un file safetensors.
worker-lora-not-kohya = In questo file non c'è un LoRA in un formato conosciuto.
worker-lora-incomplete = Questo file LoRA è incompleto.
worker-lora-bad-alpha = In questo file LoRA alpha non è un numero.
worker-lora-no-rank = Questo LoRA ha rango 0: non contiene nulla.
worker-lora-not-finite = Questo LoRA contiene numeri non finiti: il suo addestramento è andato fuori controllo.
worker-lora-unsupported = Questo LoRA è di un tipo che qui non si legge: { $kind }. Usa un LoRA semplice.
worker-lora-other-file = Questo file non è un LoRA ma un { $kind }.
worker-lora-other-model = Questo LoRA è stato fatto per { $model }; usane uno per { $wanted }.
worker-lora-other-kind = Questo LoRA è stato fatto per un altro tipo di modello di base.
worker-lora-other-size = Questo LoRA è stato fatto per un modello di base di un'altra dimensione.
worker-initial-lora-other-kind = Il LoRA da cui continuare è stato fatto per un altro tipo di modello di base.
worker-initial-lora-other-rank = Il LoRA da cui continuare ha un altro rank, o è stato fatto per un altro modello di base.
worker-initial-lora-other-algorithm = La LoRA da cui continuare è una { $kind }, e questo addestramento produce una { $trained_kind }; scegli lo stesso tipo per entrambe (a mano: --network_args algo=…, o --dim_from_weights).
worker-base-model-missing = Il modello di base { $name } non esiste: non c'è una cartella o un file .safetensors con questo nome.
worker-base-model-pickle = Il modello di base { $name } è un pickle, che può eseguire codice; convertilo prima in .safetensors.
worker-base-model-damaged = Il file { $name } del modello di base è danneggiato, o non è un file safetensors.
worker-base-model-other-kind = { $name } non è uno Stable Diffusion 1.x che disegna da un testo.
worker-size-out-of-range = Larghezza e altezza devono essere multipli di 8, da { $low } a { $high } pixel.
worker-steps-out-of-range = I passi devono essere da { $low } a { $high }.
worker-count-out-of-range = Le immagini devono essere da { $low } a { $high }.
worker-seed-out-of-range = Il seed deve essere un numero intero da 0 in su.
worker-guidance-out-of-range = La guidance deve essere da { $low } a { $high }.
worker-variation-out-of-range = La variazione deve essere da { $low } a { $high }.
worker-denoising-out-of-range = La parte da ridisegnare deve essere da { $low } a { $high }.
worker-strength-out-of-range = La forza deve essere da { $low } a { $high }.
worker-checkpoint-damaged = Il checkpoint di questo addestramento è danneggiato.
worker-checkpoint-other-version = Il checkpoint è di un'altra versione di questo programma.
worker-checkpoint-other-training = Lo stato da cui continuare è stato fatto con altre impostazioni o altre foto.
worker-base-model-other-model = { $name } è un altro modello ({ $model }); serve uno Stable Diffusion 1.x che disegna da un testo.
worker-base-model-other-file = { $name } è un { $kind }, non un modello di base; indica un checkpoint completo di Stable Diffusion 1.x.
worker-base-model-no-vae = { $name } non ha un VAE; indicane uno con BASE_VAE (a mano: --vae).
worker-base-model-no-text-encoder = { $name } non ha un text encoder; usa il checkpoint completo, o una cartella diffusers.
worker-base-model-unet-only = { $name } ha solo una UNet; usa il checkpoint completo, con text encoder e VAE.
worker-base-model-ema-only = { $name } ha solo pesi medi (EMA); usa la sua versione per disegnare, spesso chiamata pruned.
worker-base-model-not-finite = Il modello di base { $name } contiene numeri non finiti, in { $part }; scaricalo di nuovo o usane un altro.
worker-base-model-link = { $name } è un link; scarica il file .safetensors e indica il suo percorso, o un id dell'hub come owner/model.
worker-base-model-revision = { $name } indica una revisione, che qui non si può scegliere; indica { $model }, o una cartella con quella revisione.
worker-base-model-other-system = { $name } è un percorso di Windows, e questo è un altro sistema; indica il percorso com'è qui.
worker-base-model-not-sd15 = { $name } non è un checkpoint di Stable Diffusion 1.x.
worker-base-model-lacks-part = Il modello di base { $name } è incompleto: manca { $part }.
worker-base-model-lacks-weights = Il modello di base { $name } non ha pesi .safetensors in { $part }.
worker-base-model-transformer-only = { $name } è soltanto un transformer; metti in BASE_MODEL un modello intero e questo dopo, come suo gemello: `base + { $name }`.
worker-base-model-other-config = Il modello di base { $name } non corrisponde alla configurazione del suo { $part }.
worker-base-model-unknown-dtype = Il file { $name } del modello di base contiene numeri di un tipo che non si può usare ({ $dtype }).
worker-base-model-unreadable = La cartella { $name } del modello di base non si può caricare: { $detail }
worker-base-model-unknown-buffer = Questa versione delle librerie tiene nel modello di base un buffer che non si conosce ({ $name }).
worker-base-model-not-on-hub = { $name } non è sull'hub, o è privato: controlla il nome.
worker-base-model-gated = { $name } ha l'accesso limitato: accetta le condizioni sulla sua pagina e imposta HF_TOKEN con un tuo token; oppure indica una cartella o un file .safetensors.
worker-base-model-unreachable = { $name } non si trova e non si può scaricare ({ $detail }); riproverò con il prossimo lavoro o avvio. Oppure indica una cartella o un file .safetensors.
worker-base-model-no-safetensors = { $name } non ha file safetensors di Stable Diffusion 1.x.
worker-base-model-no-disk-space = { $name } ha bisogno di { $needed_gb } GB su disco, e dove stanno i modelli (HF_HOME) ne sono liberi { $free_gb }.
worker-base-model-out-of-memory = { $name } ha bisogno di { $needed_gib } GiB di memoria, e su { $device } ne sono liberi { $free_gib }. Riprovo con il prossimo lavoro.
worker-base-model-download-damaged = { $name } è arrivato danneggiato ed è stato cancellato; lo scarico di nuovo.
worker-base-model-keeps-vae = { $name } funziona solo con il suo VAE; lascia vuoti BASE_VAE e --vae.
worker-vae-missing = Il VAE { $name } non esiste: non c'è una cartella o un file .safetensors con questo nome.
worker-vae-pickle = Il VAE { $name } è un pickle, che può eseguire codice; convertilo prima in .safetensors.
worker-vae-damaged = Il VAE { $name } è danneggiato o incompleto; scaricalo di nuovo o usane un altro.
worker-vae-none = { $name } non contiene un VAE che si possa leggere (BASE_VAE, --vae).
worker-vae-other-model = Il VAE { $name } è per un altro modello ({ $model }); serve uno per { $wanted }.
worker-fp16-on-cpu = Una CPU è troppo lenta in fp16; scegli bf16 o la precisione piena.
worker-gpu-too-old = Nessun torch attuale ha i kernel per la { $gpu } ({ $architecture }); nascondi la scheda con CUDA_VISIBLE_DEVICES=-1 per usare il processore.
worker-gpu-needs-other-torch = Questo torch ({ $torch }) non ha i kernel per la { $gpu } ({ $architecture }). Installane uno che li ha: { $command }
worker-gpu-lacks-bf16 = { $model } vuole bf16, che la { $gpu } non ha (prima delle RTX 30); imposta BASE_MODEL su un SDXL o uno Stable Diffusion 1.x.
worker-sd-scripts-needs-sd15 = sd-scripts ha bisogno di un vero Stable Diffusion 1.5: imposta BASE_MODEL con un id dell'hub, una cartella diffusers o un file .safetensors, oppure TRAINER con own.
worker-sd-scripts-bad-trigger = Le parole per il soggetto non possono avere una barra.
worker-sd-scripts-cannot-start = Il Python per sd-scripts non si avvia ({ $detail }).
worker-sd-scripts-cannot-write = I file per sd-scripts non si possono scrivere ({ $detail }).
worker-sd-scripts-silent = sd-scripts non ha detto nulla per troppo tempo, quindi è stato fermato.
worker-sd-scripts-killed = sd-scripts è stato terminato (segnale { $signal }), forse per mancanza di memoria; il registro del worker dice di più.
worker-sd-scripts-disk-full = Il disco è pieno e sd-scripts non ha potuto continuare; il registro del worker dice di più.
worker-sd-scripts-out-of-memory = A sd-scripts è mancata la memoria della scheda; il registro del worker dice di più.
worker-sd-scripts-lacks-library = Manca una libreria di cui sd-scripts ha bisogno: SD_SCRIPTS_PYTHON indica il Python che la ha; il registro del worker dice di più.
worker-sd-scripts-no-card = Il Python che esegue sd-scripts non trova nessuna scheda CUDA; il registro del worker dice di più.
worker-sd-scripts-failed = sd-scripts si è fermato con stato { $status }; il registro del worker dice di più.
worker-sd-scripts-no-lora = sd-scripts è finito senza scrivere un LoRA.
worker-sd-scripts-damaged-lora = sd-scripts ha scritto un LoRA danneggiato.
