//! What pages about refusals say, in English and Chinese. The other pages' words are in `web/assets/i18n.js`; these are needed
//! where no script may load.

/// A language that pages speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    English,
    Chinese,
}

pub(super) struct Words {
    pub no_room: &'static str,
    pub room_names: &'static str,
    pub open_room: &'static str,
    pub home: &'static str,
    /// By code: the heading, and what to know or do.
    known: &'static [(&'static str, &'static str, &'static str)],
    other: (&'static str, &'static str),
}

impl Language {
    /// The first that is known, of tags in the order of their wish.
    pub(super) fn pick<'a>(tags: impl Iterator<Item = &'a str>) -> Self {
        let known = |tag: &str| match tag.trim().split(['-', ';', '_']).next() {
            Some(tag) if tag.eq_ignore_ascii_case("zh") => Some(Self::Chinese),
            Some(tag) if tag.eq_ignore_ascii_case("en") => Some(Self::English),
            _ => None,
        };
        let mut tags = tags;
        tags.find_map(known).unwrap_or(Self::English)
    }

    pub(super) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Chinese => "zh-CN",
        }
    }

    pub(super) const fn words(self) -> &'static Words {
        match self {
            Self::English => &ENGLISH,
            Self::Chinese => &CHINESE,
        }
    }
}

impl Words {
    pub(super) fn of(&self, code: &str) -> (&'static str, &'static str) {
        self.known.iter().find(|(known, ..)| *known == code).map_or(self.other, |(_, title, what)| (title, what))
    }
}

const ENGLISH: Words = Words {
    no_room: "“{room}” is not a room name",
    room_names: "A room name has 1 to 64 letters, digits, “-” or “_”, and nothing else.",
    open_room: "Open room “{room}”",
    home: "All rooms",
    known: &[
        ("not_found", "There is nothing here", "Check the address, or start from the list of rooms."),
        ("no_such_room", "There is no such room", "Nothing of it is stored. It may have ended some time ago."),
        (
            "bad_room",
            "This is not a room name",
            "A room name has 1 to 64 letters, digits, “-” or “_”, and nothing else.",
        ),
        ("method_not_allowed", "This address cannot be used that way", "Open it as a page, or read the documentation."),
        ("upgrade_required", "This address is for programs", "It speaks WebSocket. Open the room's page instead."),
        (
            "too_many_connections",
            "Too many connections from your network",
            "Close some pages, or try again in a minute.",
        ),
        ("overloaded", "The server is busy", "Try again in a minute."),
        ("rooms_full", "All rooms are in use", "Try again in a minute."),
        ("draining", "The server restarts", "Try again in a few seconds."),
        ("storage_unavailable", "The record cannot be read now", "Try again in a few seconds."),
        (
            "too_old",
            "This part is no longer stored",
            "Start from an earlier page of the record, or download all of it.",
        ),
        ("forbidden_origin", "This page may not connect here", "Only the operator of this server can allow it."),
        ("wrong_host", "This server does not answer to that name", "Its operator can allow it: see below."),
        ("unauthorized", "A key is needed", "Only the operator's programs may do this."),
    ],
    other: ("This did not work", "The server says why, below."),
};

const CHINESE: Words = Words {
    no_room: "“{room}”不是房间名",
    room_names: "房间名由 1 至 64 个英文字母、数字、“-”或“_”组成，不能有别的字符。",
    open_room: "打开房间“{room}”",
    home: "全部房间",
    known: &[
        ("not_found", "这里什么也没有", "请检查地址，或从房间列表开始。"),
        ("no_such_room", "没有这个房间", "服务器上没有它的记录，可能早已结束。"),
        ("bad_room", "这不是房间名", "房间名由 1 至 64 个英文字母、数字、“-”或“_”组成，不能有别的字符。"),
        ("method_not_allowed", "这个地址不支持这种访问方式", "请在浏览器中打开它，或查阅文档。"),
        ("upgrade_required", "这个地址是给程序用的", "它使用 WebSocket。请打开房间的网页。"),
        ("too_many_connections", "来自您网络的连接过多", "请关闭一些页面，或一分钟后再试。"),
        ("overloaded", "服务器繁忙", "请一分钟后再试。"),
        ("rooms_full", "房间已满", "请一分钟后再试。"),
        ("draining", "服务器正在重启", "请几秒钟后再试。"),
        ("storage_unavailable", "暂时读不到记录", "请几秒钟后再试。"),
        ("too_old", "这部分记录已不再保存", "请从更早的一页开始，或下载全部记录。"),
        ("forbidden_origin", "此页面不能连接到这里", "只有服务器管理员可以允许。"),
        ("wrong_host", "服务器不接受这个域名", "服务器管理员可以允许它，见下方说明。"),
        ("unauthorized", "需要密钥", "只有服务器管理员的程序可以执行此操作。"),
    ],
    other: ("操作没有成功", "原因见下方（英文）。"),
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_languages_explain_the_same_codes() {
        let codes = |words: &Words| words.known.iter().map(|(code, ..)| *code).collect::<Vec<_>>();
        assert_eq!(codes(&ENGLISH), codes(&CHINESE));
    }

    #[test]
    fn the_first_known_language_is_spoken() {
        for (tags, language) in [
            ("", Language::English),
            ("zh-CN", Language::Chinese),
            ("fr-FR, zh;q=0.8, en;q=0.7", Language::Chinese),
            ("en-GB,zh", Language::English),
            ("ZH_hant", Language::Chinese),
            ("zhx, *", Language::English),
        ] {
            assert_eq!(Language::pick(tags.split(',')), language, "{tags}");
        }
    }
}
