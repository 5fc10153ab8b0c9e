# Every sentence people see, in English. A file like this one for another language is all that it takes; what it
# lacks is said in English. Administrators' own texts are in English alone, and stand in the code.

language-name = English

## Said in many places

unknown-command = I do not understand that. /help lists what I can do.
lost-with-photos = I do not understand that. /train shows your photos again, with buttons to press.
lost-with-jobs = I do not understand that. /queue shows how far your job is, and how long it still takes.
cannot-open-links = I cannot open links. Send me the photo itself.
too-many-wrong-codes = Too many LoraCodes that are not yours. Try again in an hour; your own keep working, and /codes lists them.
unknown-code = You have no LoraCode with that number. /codes lists yours. If it belongs to someone else, write /ask and the code.
lora-of-other-base = LoraCode { $code } was trained on the base model “{ $base }”, and I draw with “{ $current }” now. Nothing is lost: it draws again when that base model is back.
unknown-code-in-prompt = I read { $code } in your prompt as a LoraCode, but you have none with that number: /codes lists yours. If it is something else, such as two years, put a comma or a word between the digits.
unknown-code-of-numbers = I read the first eight digits, { $code }, as a LoraCode, but you have none with that number: /codes lists yours. If it belongs to someone else, write /ask and the code. If the digits are part of the picture, such as two years, write your LoraCode first and put a comma between them: /generate 4071 3386 { $first }, { $second } …
stale-button = That button no longer works, or it is somebody else's. /help lists what I can do.
not-your-button = These buttons belong to whoever wrote the message above them, so I changed nothing. Ask for your own, for example with /generate or /train.
nothing-open = You have nothing running or in line.
already-ended = That has already ended. /codes shows how your LoraCodes are doing.
no-photos-held = You have no photos waiting. /train shows how to start; /codes lists what you have.
no-photo-sent = There was no photo in that. /train shows how to send them.
apology = Sorry, something went wrong on my side. Please try again in a minute.
for-you = For you
sent-to-you-alone = I have sent it to you in our private chat.
open-a-private-chat = That is only for you: open a private chat with me, press Start, and ask again there.
who-are-you = Telegram does not tell me who you are here. Write to me in a private chat, or under your own name.
photo-not-fetched = I could not get this photo from Telegram. Please send it again.
photos-not-fetched = I could not get { $name } from Discord, so I took none of these photos. Please send them again.
console-hint = Type the path of a photo or of a folder of photos, /help, or /quit.
console-lost = I do not know what to do with that. { console-hint }
console-picture = picture: { $path }
console-spoiler = picture: { $path } (it may show nudity)
console-file = file: { $path } (as { $name })

## What people say besides

words-greeting = hi, hello, hey, hiya, howdy, yo, good morning, good afternoon, good evening, good night, greetings, what can you do, who are you, what are you, what is this, how does this work, how does it work, 👋
words-names = there, bot, loracode, everyone, everybody, all
words-thanks = thanks, thank you, thank you very much, thanks a lot, many thanks, thx, thank u, ty, tysm, cheers, ❤️, great thanks, ok thanks, 🙏
words-yes = yes, y, yep, yeah, yup, sure, ok, okay, yes please, of course, do it, go ahead, confirm, agreed, i do, i confirm, 👍, ✅
words-talk = sorry, wait, wow, haha, hahaha, ahah, lol, hmm, oops, how, why, when, can you, could you, do you, does, did, are you, i will, i'll, later, not now
synonyms-generate = gen, imagine, draw, image, img, picture, paint
synonyms-codes = models, loras
synonyms-queue = progress, jobs
synonyms-cancel = stop, abort
words-no = no, n, nope, nah, no thanks, nope thanks, no thank you, not now, never mind, nevermind, forget it, stop, cancel, keep it, don't, do not, ok thanks never mind, 👎
greeting = Hello! /generate draws with a LoraCode, /train makes a new one, and /help lists the rest.
you-are-welcome = You are welcome!
answered-no = All right, I leave everything as it is.
nothing-asked = I have no question open for you. /help lists what I can do.
unknown-command-near = I do not know that command. Did you mean { $near }? /help lists them all.
edited-too-late = I have answered that message already and do not carry it out again. Please send a new one.
cannot-hear = I cannot listen to recordings. Please write it to me.
cannot-watch = I take photos, not videos. Send five photos of one person; frames of your video will do.
cannot-use = I can use photos and written words only. /help lists what I can do.
caption-not-read = I did not read the words that came with this. What to draw goes in a message of its own.
photo-with-command = A command came with your photo, so I did not take it. To collect it for a LoraCode, send it without words.
photo-with-prompt = I cannot draw from a photo, so I did not take yours; I draw only what you wrote. To collect it for a LoraCode, send it without words.

## Times, counts, words

eta-unknown = no estimate until the first job here has finished
eta-paused = the bot is paused; it starts when the bot resumes
about-left = about { $span } left
half-a-minute = half a minute
unit-d = d
unit-h = h
unit-min = min
days-ago = { $count ->
    [one] { $count } day ago
   *[other] { $count } days ago
}
hours-ago = { $count ->
    [one] { $count } hour ago
   *[other] { $count } hours ago
}
minutes-ago = { $count ->
    [one] { $count } minute ago
   *[other] { $count } minutes ago
}
just-now = just now
example = /generate { $code } { $prompt }
example-discord = /generate code:{ $code } prompt:{ $prompt }
shape-portrait = portrait
shape-square = square
shape-landscape = landscape
style-none = none
style-button = Style
style-button-set = Style: { $style }

## /link

link-in-private = That is only for you: open a private chat with me and ask there.
link-unknown = I do not know that word, or its ten minutes are over. /link shows a new one; type it exactly.
link-same = That word belongs to this account. Type it to me on the other platform: /link and the word.
link-too-often = Too many wrong words. Please wait ten minutes, then ask for a new one with /link.
link-word =
    Your word is { $word }. Within ten minutes, type it to me on the other platform: /link { $word }
    After that you have the same LoraCodes on both. Show it to nobody: whoever types it shares your account.
linked = Linked: you now have the same LoraCodes, pictures and limits on both platforms.

## /queue

nothing-waits = You have nothing running or in line. /train makes a LoraCode, /generate draws with one.
queue-cancel = Cancel { $what }
queue-training-now = training now
queue-drawing-now = drawing now
queue-training = training, in line: number { $position }
queue-drawing = drawing, in line: number { $position }

## The chart of /status

chart-waiting = Waiting (times in UTC)
chart-trainings = trainings
chart-pictures = pictures
chart-card = GPU, %
chart-use = use
chart-memory = memory
chart-ended = Jobs ended, each hour
chart-done = done
chart-failed = failed

## /settings

settings-title = Your defaults:
settings-size = Size: { $size }
settings-style = Style: { $style }
settings-sound = Notifications: on
settings-silent = Notifications: silent
settings-language = Language: { $language }
settings-language-of-app = Language: { $language }, same as your app
settings-forgets-photos = Photos: deleted when the training ends
settings-keeps-photos = Photos: kept until they are { $days } days old, so that /more and /replace can use them again
settings-sound-button = Notifications on
settings-silent-button = Silent
settings-forget-button = Photos not kept
settings-keep-button = Photos kept { $days } days
settings-app-button = Same as my app
settings-which-style = Default style? The style “none” draws without one.

## Words of buttons and lists

smaller-copy-on-discord = (Sent as JPEG: the PNG is larger than Discord allows.)
smaller-copy = (Sent as JPEG: the PNG is too large for a Telegram photo.)
my-codes = My codes
cancel = Cancel
back = Back
nobody = Someone
pictures = { $count ->
    [one] { $count } picture
   *[other] { $count } pictures
}
class-person = person
class-woman = woman
class-man = man
class-dog = dog
class-cat = cat
class-thing = thing
class-style = style
state-training = training
state-ready = ready
state-failed = failed
state-cancelled = cancelled
allowed-asked = asked
allowed-once = once
allowed-always = always
allowed-no = no

## Cards and notices

card-drawing = { $count ->
    [one] Drawing { $count } picture with { $code }
   *[other] Drawing { $count } pictures with { $code }
}
card-training = Training { $code }
in-line = In line
in-line-number = In line: number { $position }
card-so-far = So far: { $likeness }
card-failed = Failed: { $why }
card-cancelled = Cancelled.
card-done = done
could-not-be-finished = it could not be finished
getting-ready = getting ready
step-of = step { $step } of { $steps }
notice-ready = { $code } is ready, { $photos }.
notice-further-ready = { $code } has trained for { $steps } more steps, { $photos }.
notice-further-no-better = { $code }: { $steps } more steps did not improve the likeness, so I kept it as it was, { $photos }.
notice-further-failed =
    Training { $code } further failed: { $why }
    It is unchanged, and draws as before.
photos-deleted = and your photos have been deleted
photos-kept = and I keep your photos until they are { $days } days old, as you set
trigger-means = In a prompt, “{ $trigger }” means the one in your photos.
try-it = Try:
notice-train-failed =
    Training { $code } failed: { $why }
    Your photos have been deleted. To try again: /train
notice-train-resumed = The training of { $code } was interrupted and is continuing by itself. You do not need to do anything.
notice-generate-failed =
    No picture with { $code }: { $why }
    Your LoraCode is fine; try again with /generate.
cancelled-training = Cancelled: { $code } will not be trained, and its photos have been deleted. To start again, send five photos: /train
cancelled-further = Cancelled: { $code } is unchanged, and draws as before.
cancelled-drawing = Cancelled: no pictures this time. { $code } is unchanged.
worker-keeps-dying = The graphics card failed five times while working on this, so I gave up. Please try again later, or tell the bot's admin.
photos-too-old = The photos of this training are { $days } days old, and I do not keep photos longer. Please send the five photos again.

## Likeness

likeness = likeness { $percent }% ({ $words })
likeness-button = Likeness
likeness-unknown = nothing was measured.
likeness-very = very close
likeness-close = close
likeness-fair = fair
likeness-poor = poor
likeness-measured = { $count ->
    [one] Its likeness is { $percent }% ({ $words }), measured on { $count } picture.
   *[other] Its likeness is { $percent }% ({ $words }), measured on { $count } pictures.
}
likeness-ended-early = I stopped at step { $step }, because the likeness was past its best; that saved { $span }.
likeness-earlier-step = I kept step { $step }: by step { $last } it was down to { $percent }%.
likeness-earlier-step-no-worse = I kept step { $step }; more steps made it no better.
likeness-faceless = { $count ->
    [one] { $count } of them shows no clear face.
   *[other] { $count } of them show no clear face.
}
likeness-copies = { $count ->
    [one] { $count } of them nearly repeats one of your photos: send more varied ones.
   *[other] { $count } of them nearly repeat one of your photos: send more varied ones.
}
likeness-odd-photo = Photo { $number } is unlike the others and may have lowered it; /replace swaps it.

## /codes

no-code-yet = You have no LoraCode yet. { $how }
codes-older = and { $more } older ones
codes-shared = Shared with you:
codes-try = Try: { $example }
codes-draw-with = Draw with { $code }
code-trigger = trigger: { $trigger }
generate = Generate
export-button = Export
share-button = Share
rename-button = Rename
more-button = Train further
delete-button = Delete
all-my-codes = All my codes
ask-new-name-in-group = Now reply to the message below with the new name for { $code }. Others here can read it.
ask-new-name = Now write the new name for { $code }; only you will see it.
ask-new-name-discord = Now write me the new name for { $code } in a direct message; only you will see it.
ask-to-remove = Shall I delete { $code } for good, with its file and every picture drawn with it? Jobs that use it are stopped. To keep a copy, export it first.
delete-for-good = Delete for good
keep-it = Keep it
removed = { $code } is deleted, along with its pictures. Nobody will get this number again.

## /more, /replace

further-started = I am training { $code } for { $steps } more steps. Until that is done, it draws as before.
set-further = These photos will train { $code } for { $steps } more steps. I no longer have the old ones, so I need five again; /settings can keep them next time.
set-swaps = These photos will train { $code } for { $steps } more steps, with a new photo in place of number { $number }.
swap-wanted = Now send the photo that replaces number { $number }.
set-leave = Not for { $code }
send-five-again = Send five again
nothing-to-replace = The photos of { $code } are deleted, as I promised, so I cannot swap one. Send all five again, with the better one among them, and I will train it further with those. To have photos kept for { $days } days next time: /settings
set-is-open = { $held ->
    [one] You have { $held } photo waiting for another LoraCode. Start over or send the rest first: /train
   *[other] You have { $held } photos waiting for another LoraCode. Start over or send the rest first: /train
}
which-code = Which LoraCode? Write its eight digits; /codes lists yours. For example: { $example }
not-a-code = A LoraCode has eight digits, like 4071 3386. For example: { $example }
more-range = How many more steps? From { $least } to { $most }, for example: { $example }
replace-range = Which photo? Write its number, 1 to { $most }, for example: { $example }

## The first minute, and photos

how-to-send-telegram = Send me five photos of one person: together as an album, one by one, or as files.
how-to-send-discord = Send me five photos of one person in a direct message, together or one by one. Or choose /train in the list that opens when you type a slash: it opens a form for them.
how-to-send-console = Type the paths of five photos of one person, or the path of a folder that holds them.
agree = I agree
use-first-five = Use the first five
start-over = Start over
ask-consent = Please confirm: the photos show you, or someone who said yes, and you are 18 or older.
like-these = Five like these make a good set: each shows something the others do not.
example-close = close, face clear
example-far = farther away
example-angle = another angle
example-mood = another mood
example-light = different light
welcome =
    { $how } You get an 8-digit LoraCode, and a message when it is ready.
    Your photos are deleted when the training ends, and after { $days } days at the latest.
    Only you and the people you allow can draw with your LoraCode: knowing it is not enough.
consent-first =
    One thing first. { ask-consent } Your photos are deleted when the training ends.
    Press the button.
consent-first-photos =
    Thank you, but one thing first; I have not kept any of these yet. { ask-consent } Your photos are deleted when the training ends.
    Press the button, then send them once more.
thank-you = Thank you. { $next }
photos-too-many = You have { $held } photos, and I need exactly { $wanted }. Nothing has started. Shall I use the first five, or do you want to start over?
photos-held = { $missing ->
    [one] You have { $held } of { $wanted }; send { $missing } more.
   *[other] You have { $held } of { $wanted }; send { $missing } more.
}
photos-in-a-group =
    Others can read along here. In our private chat I show your photos only to you: { $link }
    Or send them here, as a reply to a message of mine.
set-shows = They show: { $class }
set-name = name: { $name }
name-it = Name it
set-complete = That is all five: { $code }.
set-deleted = These photos are deleted.
set-below = Your photos are shown again below.
set-waits = You still have { $held } of { $wanted } photos waiting, and in a few hours I delete them. Send the rest to go on; /train shows what I have.
ask-name-in-group = Now reply to the message below with the name. Others here can read it.
ask-name = Now write the name; only you will see it.
wrong-name = A name has 1 to { $most } characters. Please write another one.
photo-gone = That photo is no longer in the set. /train shows what I have.
photo-line = Photo { $number }: { $sentence }
same-photo = I already have this one; send a different one.
same-photo-or-no-room = not kept: I already have it, or there is no room, as I keep ten at most.
too-many-files = That is { $sent } files at once, and I take { $most } at most, so I took none. Send exactly five photos.
photos-forgotten = { $count ->
    [one] Deleted: { $count } photo. { $how }
   *[other] Deleted: { $count } photos. { $how }
}
training-started = Thank you, that is all five. Your LoraCode is { $code }.
too-many-trainings = You already have { $most } trainings under way. Send new photos when one has ended, or /cancel one.
too-many-generations = I am still drawing { $most } requests of yours. Ask again when one is done, or /cancel one.
compare-hint = The numbers are strengths: put one behind a prompt, such as --strength { $strength }.
compare-off = Comparing is switched off on this bot. Put --strength 0.8 behind a prompt to try one.
too-many-codes = One picture takes { $most } LoraCodes at most; leave some out.
still-training = { $code } is still training: { $left }. I will write when it is ready.
still-training-guest = { $code } is still training: { $left }. Try again then.
not-usable-failed = The training of { $code } failed. Send five photos to get a new LoraCode: /train
not-usable-cancelled = The training of { $code } was cancelled. Send five photos to get a new LoraCode: /train
nothing-open-for = Nothing is running or in line for { $code }.

## Photos that cannot be used

photo-not-a-picture = This file is not a picture. Send a photo as JPEG, HEIC, AVIF, PNG or WebP.
photo-other-format = I cannot read this kind of picture. Send it as JPEG, HEIC, AVIF, PNG or WebP.
photo-broken = This picture is damaged or incomplete. Please send it again, or choose another one.
photo-too-many-bytes = This file is too big: the limit is { $max_megabytes } MB. Please send a smaller copy.
photo-too-many-bytes-as-photo = { photo-too-many-bytes } Sent as a photo instead of a file, it is small enough.
photo-too-many-pixels = This picture has too many pixels: the limit of a JPEG is { $max_megapixels } million. Please make it smaller.
photo-too-many-pixels-whole = This picture has too many pixels: the limit of HEIC and of a progressive JPEG is { $max_whole_megapixels } million. Save it as a standard JPEG, or make it smaller.
photo-too-many-pixels-web = This picture has too many pixels: the limit of PNG, WebP and AVIF is { $max_web_megapixels } million. Save it as JPEG, or make it smaller.
photo-too-small = This picture is too small or too narrow: I need at least { $min_side_px } pixels on the short side. Send the original, as a file if you can.
photo-took-too-long = I could not read this picture in time. Please send it again, or choose another one.

## /generate by buttons

no-ready-code = None of your LoraCodes can draw yet. /codes shows how they are doing; /train makes one.
draft-gone = That draft is gone; /generate starts a new one.
draft-dropped = Discarded; I drew nothing. /generate draws something new.
question-dropped = Discarded: the name stays as it is.
jobs-go-on = What you have running goes on; /cancel once more stops the newest.
choose-code = Which LoraCode should draw?
draft =
    With { $code } · style: { $style } · size: { $size } · pictures: { $count }
    Now write what to draw.
draft-in-group =
    With { $code } · style: { $style } · size: { $size } · pictures: { $count }
    Now reply to the message below with what to draw.
reply-to-this = please reply to this message, as I do not see other words here.
draft-with-form =
    With { $code } · style: { $style } · size: { $size } · pictures: { $count }
    Press “What to draw” when you are ready.
draft-with-form-or-words =
    With { $code } · style: { $style } · size: { $size } · pictures: { $count }
    Now write here what to draw, or press “What to draw”.
ask-to-draw = Shall I draw these words? “{ $words }”
draw-these = Draw them
draft-write = What to draw
draft-drop = Discard
which-style = Which style?
no-style = No style

## Results

show-what = Which result? Its number stands in front of the prompt. For example: { $example }
no-such-result = You have no result with that number. The number is in front of the prompt, such as #12.
deleted = You deleted that result, prompt and pictures. /generate draws something new.
not-done = That is not a finished picture. /show and its number tell you how far it is.
as-large-as-i-can = This picture is already as large as I can draw.
picture-gone = The picture that this should start from is gone.
lora-file-gone = The file of this LoraCode is missing. Please tell the bot's admin.
too-coarse-to-split = This LoRA cannot be split into files small enough for this platform.
pictures-gone = The pictures are no longer here; draw them again.
result-deleted = { $result }: deleted
ask-to-delete = { $count ->
    [one] { $result }: shall I delete this picture and its prompt for good?
   *[other] { $result }: shall I delete these { $count } pictures and their prompt for good?
}
result-is-deleted = { $result } is deleted, prompt and pictures.
one-picture-gone = Picture { $number } of { $result } is no longer here; you can draw it again.
edit-prompt-in-group =
    Now reply to the message below with the new prompt for { $result }; everything else stays. The old one:
    { $prompt }
edit-prompt =
    Now write the new prompt for { $result }; everything else stays. The old one:
    { $prompt }
best-told = The best match of { $count }: likeness { $chosen }. The others: { $others }.
best-nobody = no clear face
together-told = Likeness of each: { $likenesses }.
best-not-told = I could not tell which is the best match, so here they all are.
result-without-weights = This base model reads no weights such as (word:1.3), so they were left out.
result-drawn-otherwise = Fast pictures are drawn in another way since { $result }, so these may differ from it.
best-unknown = I cannot compare the likeness of pictures of { $code }: nothing was measured when it was trained. Ask for { $count } without “best”, and you choose.
recipe-prompt = Prompt: { $prompt }
recipe-sent = Sent to the model: { $prompt }
recipe-not = Negative: { $words }
recipe-seed = Seed: { $seed }
recipe-seeds = Seed: { $seed } to { $last }
recipe-size = Size
recipe-steps = Steps
recipe-guidance = Guidance
recipe-sampler = Sampler
recipe-redrawn = Denoising
recipe-variation-seed = Variation seed
recipe-variation = Variation
recipe-acceleration = Acceleration
recipe-model = Model
recipe-strength = Strength: { $strength }
recipe-lora = LoRA: { $lora }
recipe-lora-steps = LoRA: { $lora }, trained for { $steps } steps
recipe-hash = { $code }, hash { $hash }
recipe-source = Made from { $result }
recipe-show = See it again: { $example }
export = { $code } as a file. AUTOMATIC1111: put it in models/Lora and write { $words }. ComfyUI: models/loras, node Load LoRA. diffusers: load_lora_weights.
export-newer = { $code } as a file. ComfyUI: put it in models/loras, add the node Load LoRA and write “{ $words }”. diffusers: load_lora_weights. AUTOMATIC1111 does not know this base model.
export-parts = It is too large for one file here: use all { $count } parts together, at the same strength.
again = Again
edit-prompt-button = Edit prompt
recipe-button = Recipe
variations = Variations
larger = Larger
draw-fine = Finer
draw-fast = Faster

## /privacy, /forgetme

forget-too-late = I asked more than an hour ago, so nothing was deleted. Ask again: /forgetme
privacy =
    What I keep about you, and for how long:
    Photos: until their training ends. Only if you choose so in /settings, until they are { $days } days old, so that a LoraCode can be trained further; never longer. Photos of a set you have not finished: 24 hours.
    LoraCodes, pictures and their prompts: until you delete them. Your reports: until /forgetme.
    Your ID on this platform, to recognize you, and the language of your app. Your name only if you ask for someone else's LoraCode: its owner sees it, and it is deleted when the sharing ends.
    Photos and pictures stay on the machine of the bot's admin. They are not shown to others, and nothing else is trained on them. Place and time are removed from photos when they arrive.
    Now: { $kept }.
    /forgetme deletes everything at once.
ask-to-forget = Shall I forget you? This deletes { $kept }. Anything running is stopped, and what others drew with your LoraCodes goes too. It cannot be undone. To keep a LoRA, /export it first.
delete-everything = Delete everything
forgotten =
    Receipt: all your data was deleted on { $day } at { $time } UTC.
    Photos: { $photos }
    LoraCodes with their files: { $codes }
    Pictures: { $pictures }
    Trainings and drawings, with their prompts: { $jobs }
    Accounts on: { $platforms }
    What stays: the bare numbers of these codes, so that nobody gets them again; nothing links them to you. The messages in our chat are yours to delete there.
forgotten-codes = { $count } ({ $codes })
forgotten-codes-more = { $count } ({ $codes } and { $more } more)
forgotten-none = none
kept-photos = { $count ->
    [one] { $count } photo
   *[other] { $count } photos
}
kept-codes = { $count ->
    [one] { $count } LoraCode
   *[other] { $count } LoraCodes
}
kept-drawings = { $count ->
    [one] { $count } drawing
   *[other] { $count } drawings
}

## Sharing, reports

ask-what = Whose LoraCode? Write the code that belongs to someone else, for example: { $example }
asked-too-often = You have asked for as many LoraCodes as you can in a day. Please ask again tomorrow.
share-in-private = That is between us: open a private chat with me and press it there.
share-word-unknown = That invitation has expired or never existed. Ask for a new one, or write /ask and the LoraCode.
share-word-too-often = Too many wrong words. Please wait ten minutes.
report-what = Write the code and, in a few words, what is wrong with it: { $example }
report-example = these are my photos
reported-too-often = You have sent as many reports as you can in a day. If it cannot wait, contact the bot's admin.
reported = Thank you. I have told the bot's admin about { $code }.
asked-for = If there is a LoraCode { $code }, I have asked its owner. You will hear from me if they allow it.
usable-already = You can draw with { $code }: { $how }
share-once = Once
share-always = Always
share-no = No
share-back = Take it back
share-everybody = Everyone with { $code }
share-asked = { $who } wants to draw with your { $code }. They cannot export, rename or delete it, and what they draw is theirs. Do you allow it?
share-may-once = { $who } may draw with your { $code } once.
share-may-always = { $who } may draw with your { $code } until you take it back.
share-may-not = { $who } may not draw with your { $code }. You will not be asked again, and they are not told.
share-revoked = { $who } can no longer draw with your { $code }. What they drew stays theirs.
you-may-draw-once = You may now draw with { $code } once: { $how }
you-may-draw-always = You may now draw with { $code } as often as you like: { $how }
sharing-nobody = { $code }: only you can draw with it.
sharing-some = Who may draw with { $code }:
sharing-how = Anyone who knows the number can ask you: /ask { $code }. Or send them a link.
sharing-link-open = A link is open for another { $span }.
sharing-more = More
sharing-make-link = Make a link
sharing-new-link = New link
sharing-end-link = End link
sharing-who = Who has it
share-link-address =
    { $address }
    On Discord they send me this word: { $word }
share-link-word = They send me this word: { $word }
share-link =
    With this, up to { $people } people may draw with { $code }. It works for { $days } days. I tell you about each one, and you can take it back.
    { $how }
link-ended = The link to { $code } has ended. People who used it can still draw, until you take it back.
who-named = { $name } ({ $platform })
who-nameless = Someone on { $platform }

## Who is let in, and how much

banned = You have been banned from this bot. /privacy and /forgetme still work.
not-on-the-list = This bot is only for people its admin has listed. Ask to be added, and give them your ID: { $identity }
invitation-first-telegram = This bot is by invitation only. Send me the word you were given.
invitation-first-discord = This bot is by invitation only. Send me the word you were given, in a direct message.
invitation-first-console = This bot is by invitation only. Type the word you were given.
trainings-used-up = { $most ->
    [one] You may have { $most } training a day, and you have used it. Come back tomorrow.
   *[other] You may have { $most } trainings a day, and you have used them. Come back tomorrow.
}
pictures-used-up = { $most ->
    [one] You may have { $most } picture an hour. Ask for fewer, or try again a little later.
   *[other] You may have { $most } pictures an hour. Ask for fewer, or try again a little later.
}
your-code-was-taken-down = The bot's admin has deleted your LoraCode { $code } and everything drawn with it. If you think this is a mistake, please contact them.

## Wishes that cannot be read

wish-example = sks person as an astronaut
wish-wrong-code = A LoraCode has eight digits, like 4071 3386; /codes lists yours.
wish-wrong-size = { $option } is square, portrait, landscape, or width x height such as 512x768: { $least } to { $most }, in steps of { $step }.
wish-empty = What should I draw? Write it, for example: { wish-example }
wish-only-no = Everything behind --no is what not to draw. Write what to draw before it: { wish-example } --no blurry
wish-prompt-too-long = The prompt has { $count } characters; the limit is { $most }. Please shorten it.
wish-negative-too-long = The text after --no has { $count } characters; the limit is { $most }. Please shorten it.
wish-unknown-option = I do not know the option --{ $name }: leave it out. I know { $options }.
wish-unknown-option-near = I do not know the option --{ $name }. Did you mean --{ $near }?
wish-unknown-network = I have nothing called { $words }. Write a LoraCode in its place: /codes lists yours.
wish-several-strengths = All LoRAs of a picture have one strength here. Write it once, such as --strength 0.8, and leave the others out.
wish-twice = --{ $name } appears twice; keep one of them.
wish-needs-value = --{ $name } needs a value after it, as in: --seed 7 --no blurry
wish-sampler = --sampler is one of: { $samplers }.
wish-value = --{ $name } takes a number from { $low } to { $high }, such as --{ $name } { $example }.
wish-best = --best 1-of-{ $most } draws { $most } pictures and sends the best match; anything from 2 to { $most } works.
wish-fast-and-fine = --fast and --fine are opposites; keep one of them.
wish-n-and-best = --best already says how many to draw; leave --n out.
unknown-style-near = I do not know the style { $style }. Did you mean { $near }?
unknown-style = I do not know the style { $style }. I know { $styles }.
or = or

## /help, and the commands as the platforms show them

command-start = start
command-train = train
command-generate = generate
command-compare = compare
command-show = show
command-codes = codes
command-more = more
command-replace = replace
command-ask = ask
command-export = export
command-queue = queue
command-cancel = cancel
command-link = link
command-settings = settings
command-report = report
command-privacy = privacy
command-forgetme = forgetme
command-help = help

help-start = what I do, and which photos make a good set
help-train = start, or see which photos are missing
help-generate = draw: your LoraCode, then what to draw; options { $options }
help-compare = draw one prompt with a LoraCode at three strengths, side by side
help-show = show a result again, by its number
help-codes = your LoraCodes: draw, share, name, export, delete
help-more = train a LoraCode further: its code, then how many steps
help-replace = swap one photo of a LoraCode, by its number, and train it further
help-ask = ask the owner of a LoraCode whether you may draw with it
help-export = the LoRA file of a code, for other programs
help-queue = what you have running or in line
help-cancel = stop your newest job, or the one of a code
help-link = use the same LoraCodes on another platform
help-settings = default size, style, notifications and language
help-report = report a LoraCode to the bot's admin
help-privacy = what I keep about you, and for how long
help-forgetme = delete all your data
help-help = this list
help-example = Example: { $example }

telegram-start = what this bot does
telegram-train = make a LoraCode from five photos
telegram-generate = draw: /generate <code> <prompt>, or /generate alone
telegram-compare = three strengths side by side: /compare <code>
telegram-show = show a result again: /show <number>
telegram-codes = your LoraCodes
telegram-more = train a code further: /more <code> 300
telegram-replace = swap a photo: /replace <code> 4
telegram-ask = draw with someone else's: /ask <code>
telegram-export = the LoRA file of a code: /export <code>
telegram-queue = what you have running or in line
telegram-cancel = stop your newest job
telegram-link = the same LoraCodes on another platform
telegram-settings = default size, style, notifications, language
telegram-report = report a LoraCode: /report <code>
telegram-privacy = what I keep about you, and for how long
telegram-forgetme = delete all your data
telegram-help = all commands

discord-start = What this bot does, and which photos it needs
discord-start-word = The word you were given, if you have one
discord-train = Train on five photos of one person; opens a form for them
discord-train-photo = A photo, only if the form does not open for you
discord-menu-train = Train on these photos
discord-generate = Draw with one of your LoraCodes
discord-generate-code = Your LoraCode: eight digits
discord-generate-prompt = What to draw, such as: sks person as an astronaut; it may name further LoraCodes
discord-generate-negative = What not to draw
discord-generate-style = A preset of words around yours; none: not even your default
discord-generate-size = portrait, square, landscape, or width x height in px such as 512x768
discord-generate-count = How many pictures
discord-generate-best = Draw this many and send the best match
discord-generate-seed = The same seed draws the same picture again
discord-generate-steps = How many steps each picture is refined for
discord-generate-guidance = How closely to follow the prompt
discord-generate-strength = How strongly the LoRA is applied: 1 is as it was trained
discord-generate-speed = fast: few steps, as usual; fine: more steps, more detail
discord-generate-sampler = How noise is turned into the picture
discord-show = Show one of your results again, with its pictures and buttons
discord-show-id = The number in the result's text, such as #123
discord-compare = Draw one prompt with a LoraCode at three strengths, side by side
discord-compare-code = Your LoraCode: eight digits
discord-compare-prompt = What to draw; without it a portrait
discord-export = The file of one of your LoraCodes, for AUTOMATIC1111 and ComfyUI
discord-export-code = Your LoraCode: eight digits
discord-more = Train one of your LoraCodes further
discord-more-code = Your LoraCode: eight digits
discord-more-steps = How many more steps
discord-replace = Swap one photo of a LoraCode and train it further
discord-replace-code = Your LoraCode: eight digits
discord-replace-photo = Which photo: its number in the set
discord-ask = Ask the owner of a LoraCode whether you may draw with it
discord-ask-code = The LoraCode, or the word of an invitation: share_…
discord-report = Report a LoraCode to the bot's admin
discord-report-code = The LoraCode
discord-report-words = What is wrong with it
discord-codes = Your LoraCodes
discord-queue = What you have running or in line
discord-cancel = Stop your newest job, or the one of a LoraCode
discord-cancel-code = Only the job of this LoraCode
discord-link = Use the same LoraCodes on another platform
discord-link-word = The word I showed you on the other platform; leave it out to get one
discord-settings = Default size, style, notifications and language
discord-privacy = What I keep about you, and for how long
discord-forgetme = Delete all your data
discord-help = What I can do

form-photos = Train on five photos
form-photos-label = Five photos of one person
form-photos-about = JPEG, HEIC, AVIF, PNG or WebP, up to 20 MB each. Deleted after training, unless you set otherwise.
form-draft = Draw a picture
form-prompt = Draw it with a new prompt
form-prompt-label = What to draw

## What is not taken or not shown

photo-shows-nudity = This photo seems to show nudity, so I did not take it. Please send one with clothes on. If I am wrong, another photo of the same scene may pass.
photo-not-checked = I could not check this photo just now, so I did not take it. Please send it again later.
withheld = Not shown: this bot's check took it for nudity. Try again with clothing in the prompt.
no-pictures-here = I am not allowed to send pictures in this chat; use /show in our private chat to see them.
pictures-sent-privately = I am not allowed to send pictures in this chat, so I send them to you in our private chat.
card-elsewhere = { $result } has ended, but I cannot show it here. I write to you in our private chat.
withheld-unseen = Not shown: this bot could not check it just now. To try again: /show and its number.
queue-full = { $count ->
    [one] The queue is full, with { $count } job in it. Please ask again in about { $span }.
   *[other] The queue is full, with { $count } jobs in it. Please ask again in about { $span }.
}
chat-full = { $count ->
    [one] This chat has { $count } job in line, and that is the limit. Please ask again in about { $span }, or write to me in private.
   *[other] This chat has { $count } jobs in line, and that is the limit. Please ask again in about { $span }, or write to me in private.
}
not-drawn-here = “{ $words }” is blocked on this bot. Please ask for something else.

## Photos that the coach looked at

use-anyway = Use them anyway
train-on-these = Train on these
photos-doubtful = You have all five, and I have not started yet: please look at this first. Remove a photo with ✕ and its number and send another, or use them as they are.
photos-all-five = You have all five.
codes-more = and { $more } more
coach-not-seen = I could not look at photo { $number } closely. You can use it, or send it again.
coach-no-face = I see no clear face in photo { $number }: send one where the face is seen from the front.
coach-more-faces = Photo { $number } shows { $faces } people: crop it to one, or send another.
coach-faces-behind = Someone is in the background of photo { $number }: crop it, or use it as it is.
coach-face-small = The face in photo { $number } is { $face_px } pixels wide, and I need { $wanted_px }: send a closer one, or the original file.
coach-face-far = The face in photo { $number } is far away: crop it closer, or use it as it is.
coach-face-cut = The face in photo { $number } is cut off at the edge: one that shows all of it would be better.
coach-blurred = Photo { $number } is blurry: send a sharper one.
coach-blurred-mild = Photo { $number } is a little soft: a sharper one would be better.
coach-dark = Photo { $number } is dark: send one with more light on the face.
coach-dark-mild = Photo { $number } is a little dark: more light on the face would be better.
coach-blown-out = Photo { $number } has too much light: { $percent }% of the face is white. Send another.
coach-blown-out-mild = Photo { $number } is very bright: { $percent }% of the face is pure white.
coach-grey = Photo { $number } is black and white, so your LoraCode may draw grey: one in colour would be better.
coach-small = Photo { $number } is only { $short_px } pixels on its short side, and { $wanted_px } would be better: send the original file if you can.
coach-other-person = Photo { $number } seems to show someone else: send another.
coach-unsure-person = I am not sure that photo { $number } shows the same person as the others. Does it?
coach-same-picture = Photo { $number } is the same picture as photo { $photo }: send another.
coach-much-alike = Photos { $photo } and { $number } are nearly identical; a different one would help more.
mark-not-seen = not seen
mark-no-face = no face
mark-more-faces = { $faces } people
mark-faces-behind = background
mark-face-small = face small
mark-face-far = face far
mark-face-cut = face cut off
mark-blurred = blurry
mark-dark = dark
mark-blown-out = too bright
mark-grey = no colour
mark-small = small
mark-other-person = other person
mark-unsure-person = same person?
mark-same-picture = same as { $photo }
mark-much-alike = like { $photo }
advice-turn = The head faces the same way in all of them: one from the side would help.
advice-distance = All are taken from the same distance: one from nearer or farther away would help.
advice-light = All have the same light: one taken somewhere else would help.

# Why the worker could not do a job
fallback-out-of-memory = There was too little memory. The training goes on a little slower.
fallback-not-finite = The numbers went out of bounds. The training goes on in a finer precision, a little slower.
worker-unexpected = Something went wrong while working on this; the log of the worker says more. Please try again.
worker-no-photos = There are no photos to train on.
worker-trigger-not-letters = '{ $name }' cannot be the trigger: { $model } learns words of letters only.
worker-photo-unreadable = One of the photos cannot be read as a picture.
worker-photo-cropped-away = One of the photos has nothing left once it is cropped.
worker-training-out-of-memory = The graphics card has too little memory for a training at { $resolution_px } px. Please tell the bot's admin.
worker-training-not-finite = The training became unstable and had to stop. Please tell the bot's admin.
worker-image-too-large = This is too much for the graphics card; ask for a smaller size or fewer pictures.
worker-image-not-finite = The picture went out of bounds (numbers too large); try less strength or guidance.
worker-start-image-damaged = The picture to start from is damaged.
worker-unknown-sampler = '{ $name }' is not a sampler; the samplers are { $known }.
worker-sampler-fixed = '{ $name }' cannot be chosen: this base model draws with { $known } only.
worker-no-guidance = { $model } draws without guidance, so leave out guidance and negative prompt; say in the prompt what to show.
worker-unknown-shape = '{ $name }' is not a shape; the shapes are { $known }.
worker-too-many-loras = One picture takes { $limit } LoraCodes at most.
worker-lora-damaged = This LoRA file is damaged, or is not a safetensors file.
worker-lora-not-kohya = This file has no LoRA in a known format.
worker-lora-incomplete = This LoRA file is incomplete.
worker-lora-bad-alpha = This LoRA file has an alpha that is not a number.
worker-lora-no-rank = This LoRA has rank 0: there is nothing in it.
worker-lora-not-finite = This LoRA has numbers that are not finite; its training went out of bounds.
worker-lora-unsupported = This kind of LoRA cannot be read here: { $kind }. Use a plain LoRA.
worker-lora-other-file = This file is a { $kind }, not a LoRA.
worker-lora-other-model = This LoRA was made for { $model }; use one for { $wanted }.
worker-lora-other-kind = This LoRA was made for another kind of base model.
worker-lora-other-size = This LoRA was made for a base model of another size.
worker-initial-lora-other-kind = The LoRA to continue from was made for another kind of base model.
worker-initial-lora-other-rank = The LoRA to continue from has another rank, or was made for another base model.
worker-initial-lora-other-algorithm = The LoRA to continue from is a { $kind }, and this training makes a { $trained_kind }; choose the same kind for both (by hand: --network_args algo=…, or --dim_from_weights).
worker-base-model-missing = The base model { $name } does not exist: no such folder or .safetensors file.
worker-base-model-pickle = The base model { $name } is a pickle, which can run code; convert it to .safetensors first.
worker-base-model-damaged = The base model file { $name } is damaged, or is not a safetensors file.
worker-base-model-other-kind = { $name } is not a Stable Diffusion 1.x that draws from text.
worker-size-out-of-range = Width and height must be multiples of 8 from { $low } to { $high } pixels.
worker-steps-out-of-range = Steps must be { $low } to { $high }.
worker-count-out-of-range = The number of pictures must be { $low } to { $high }.
worker-seed-out-of-range = The seed must be a whole number from 0 on.
worker-guidance-out-of-range = Guidance must be { $low } to { $high }.
worker-variation-out-of-range = The variation must be { $low } to { $high }.
worker-denoising-out-of-range = How much is drawn again must be { $low } to { $high }.
worker-strength-out-of-range = The strength must be { $low } to { $high }.
worker-checkpoint-damaged = The checkpoint of this training is damaged.
worker-checkpoint-other-version = The checkpoint is of another version of this program.
worker-checkpoint-other-training = The state to go on from was made with other settings or photos.
worker-base-model-other-model = { $name } is another model ({ $model }); a Stable Diffusion 1.x that draws from text is needed.
worker-base-model-other-file = { $name } is a { $kind }, not a base model; give a whole Stable Diffusion 1.x checkpoint.
worker-base-model-no-vae = { $name } has no VAE; give one with BASE_VAE (by hand: --vae).
worker-base-model-no-text-encoder = { $name } has no text encoder; use the whole checkpoint, or a diffusers folder.
worker-base-model-unet-only = { $name } has only a UNet; use the whole checkpoint, with text encoder and VAE.
worker-base-model-ema-only = { $name } has only averaged weights (EMA); use its version for drawing, often called pruned.
worker-base-model-not-finite = The base model { $name } has numbers that are not finite, in { $part }; download it again or use another.
worker-base-model-link = { $name } is a link; download the .safetensors file and give its path, or a hub id such as owner/model.
worker-base-model-revision = { $name } names a revision, which cannot be chosen here; give { $model }, or a folder with that revision.
worker-base-model-other-system = { $name } is a path of Windows, and this is another system; give the path as it is here.
worker-base-model-not-sd15 = { $name } is not a Stable Diffusion 1.x checkpoint.
worker-base-model-lacks-part = The base model { $name } is incomplete: it has no { $part }.
worker-base-model-lacks-weights = The base model { $name } has no .safetensors weights in { $part }.
worker-base-model-transformer-only = { $name } is a transformer alone; set BASE_MODEL to a whole model, and this after it as its twin: `base + { $name }`.
worker-base-model-other-config = The base model { $name } does not fit its own { $part }'s configuration.
worker-base-model-unknown-dtype = The base model file { $name } holds numbers of a kind that cannot be used ({ $dtype }).
worker-base-model-unreadable = The base model folder { $name } cannot be loaded: { $detail }
worker-base-model-unknown-buffer = This version of the libraries keeps a buffer in the base model that is not known ({ $name }).
worker-base-model-not-on-hub = { $name } is not on the hub, or it is private: check its name.
worker-base-model-gated = { $name } is gated: accept its terms on its page, and set HF_TOKEN to a token of yours; or give a folder or a .safetensors file.
worker-base-model-unreachable = { $name } can be neither found nor downloaded ({ $detail }); it is tried again with the next job or start. Or give a folder or a .safetensors file.
worker-base-model-no-safetensors = { $name } has no safetensors of Stable Diffusion 1.x.
worker-base-model-no-disk-space = { $name } needs { $needed_gb } GB of disk, and { $free_gb } GB are free where models are kept (HF_HOME).
worker-base-model-out-of-memory = { $name } needs { $needed_gib } GiB of memory, and { $free_gib } GiB are free on { $device }. It is tried again with the next job.
worker-base-model-download-damaged = { $name } arrived damaged and was deleted; it is downloaded again.
worker-base-model-keeps-vae = { $name } works with its own VAE only; leave BASE_VAE and --vae empty.
worker-vae-missing = The VAE { $name } does not exist: no such folder or .safetensors file.
worker-vae-pickle = The VAE { $name } is a pickle, which can run code; convert it to .safetensors first.
worker-vae-damaged = The VAE { $name } is damaged or incomplete; download it again or use another.
worker-vae-none = { $name } has no VAE that can be read (BASE_VAE, --vae).
worker-vae-other-model = The VAE { $name } is for another model ({ $model }); one for { $wanted } is needed.
worker-fp16-on-cpu = A CPU is far too slow in fp16; choose bf16 or full precision.
worker-gpu-too-old = No current torch has kernels for the { $gpu } ({ $architecture }); hide the card with CUDA_VISIBLE_DEVICES=-1 to run on the processor.
worker-gpu-needs-other-torch = This torch ({ $torch }) has no kernels for the { $gpu } ({ $architecture }). Install one that has: { $command }
worker-gpu-lacks-bf16 = { $model } needs bf16, which the { $gpu } lacks (before RTX 30); set BASE_MODEL to an SDXL or a Stable Diffusion 1.x.
worker-sd-scripts-needs-sd15 = sd-scripts needs a real Stable Diffusion 1.5: set BASE_MODEL to a hub id, a diffusers folder or a .safetensors file, or TRAINER to own.
worker-sd-scripts-bad-trigger = The words for the subject cannot have a slash.
worker-sd-scripts-cannot-start = The Python for sd-scripts cannot be started ({ $detail }).
worker-sd-scripts-cannot-write = The files for sd-scripts cannot be written ({ $detail }).
worker-sd-scripts-silent = sd-scripts has said nothing for too long, so it was ended.
worker-sd-scripts-killed = sd-scripts was killed (signal { $signal }), perhaps for lack of memory; the log of the worker says more.
worker-sd-scripts-disk-full = The disk is full, so sd-scripts could not go on; the log of the worker says more.
worker-sd-scripts-out-of-memory = sd-scripts ran out of memory on the card; the log of the worker says more.
worker-sd-scripts-lacks-library = A library that sd-scripts needs is missing: SD_SCRIPTS_PYTHON names the Python that has it; the log of the worker says more.
worker-sd-scripts-no-card = The Python that runs sd-scripts finds no CUDA card; the log of the worker says more.
worker-sd-scripts-failed = sd-scripts stopped with status { $status }; the log of the worker says more.
worker-sd-scripts-no-lora = sd-scripts ended without writing a LoRA.
worker-sd-scripts-damaged-lora = sd-scripts wrote a LoRA that is damaged.
