# Every sentence people see, in English. A file like this one for another language is all that it takes; what it
# lacks is said in English. Administrators' own texts are in English alone, and stand in the code.

language-name = English

## Said in many places

unknown-command = I do not know that. /help lists what I can do.
too-many-wrong-codes = Too many LoraCodes that are not yours. Try again in an hour; /codes lists yours, which go on working.
unknown-code = You have no LoraCode like that. /codes lists yours. If it is somebody else's, write /ask and the code.
stale-button = That button no longer does anything. /help lists what I can do.
nothing-open = Nothing of yours is running or in line.
already-ended = That has already ended. /codes shows where your LoraCodes stand.
no-photos-held = No photos of yours are waiting. /train says how to begin; /codes lists what you have.
no-photo-sent = There was no photo in that. /train says how to send them.
apology = Sorry, something went wrong on my side. Please try again in a minute.
sent-to-you-alone = I have sent it to you alone, in our private chat.
open-a-private-chat = That is for you alone: open a private chat with me, press Start, and ask there again.
who-are-you = Telegram does not tell me who you are here. Write to me in a private chat, or as yourself.
photos-not-fetched = Discord did not give me { $name }, so I took none of these photos. Please send them again.
console-hint = Type the path of a photo or of a folder of photos, /help, or /quit.
console-lost = I do not know what to do with that. { console-hint }

## Times, counts, words

eta-unknown = how long it takes is not known until the first one here has run
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

link-in-private = That is for you alone: open a private chat with me and ask there.
link-unknown = I do not know that word, or its ten minutes are over. /link shows a new one; type it exactly.
link-same = That is the word of this account. Type it to me on the other platform: /link and the word.
link-too-often = That were too many wrong words. Please wait ten minutes, then ask for a new one with /link.
link-word =
    Your word is { $word }. Within ten minutes, type it to me on the other platform: /link { $word }
    Then your LoraCodes are the same on both. Show it to nobody: whoever types it shares your account.
linked = Linked: your LoraCodes, pictures and limits are now the same on both platforms.

## /queue

nothing-waits = Nothing of yours is running or in line. /train makes a LoraCode, /generate draws with one.
queue-cancel = Cancel { $what }
queue-training-now = training now
queue-drawing-now = drawing now
queue-training = training, in line: number { $position }
queue-drawing = drawing, in line: number { $position }

## /settings

settings-title = What I take where you do not say otherwise:
settings-size = Size: { $size }
settings-style = Style: { $style }
settings-sound = Notices: with a sound
settings-silent = Notices: silent
settings-language = Language: { $language }
settings-language-of-app = Language: { $language }, as your app
settings-sound-button = With a sound
settings-silent-button = Silent
settings-app-button = As my app
settings-which-style = Which style, where you name none? --style none draws without.
